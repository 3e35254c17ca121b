"""Questions to a trained model from start to end: looked up in the training text, asked, marked, set beside others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.evaluate.asking import TrainedModel
from forge.evaluate.opponents import ask_opponents
from forge.evaluate.question_set import choose
from forge.evaluate.questions import Question
from forge.evaluate.recall import measure_recall
from forge.plan.types import Plan
from forge.progress import Progress


def ask_questions(
    plan: Plan,
    parameters: Mapping[str, Any],
    questions: Sequence[Question],
    network: Any,
    corpus: Path,
    tokenizer: Path,
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Ask a model and its opponents, write `out`/questions.jsonl and return what `measure_recall` does.

    `retrieval_not_measured` says why retrieval was not asked where it should have been.

    Args:
        plan: of the run.
        parameters: of its evaluate stage.
        questions: as `read_all` returns them.
        network: the model, of transformers.
        corpus: what it was trained on.
        tokenizer: folder of its tokenizer.
        out: a folder.
        progress: told of bytes, passages and questions.

    Raises:
        StageError: a general model that the user names cannot be asked.
    """
    model = TrainedModel(
        network=network,
        tokenizer=tokenizer,
        is_chat=plan.schedule.task != "pretrain",
        question_template=parameters["question_template"],
        reply_tokens=parameters["answer_tokens"],
        context_tokens=plan.model.max_sequence_length,
    )
    progress.note("looking the questions up in the training text")
    chosen = choose(questions, corpus, parameters["unknown_questions"], progress)
    progress.note(f"asking {len(chosen)} questions")
    others, reason = ask_opponents(chosen, parameters, corpus, plan.layout.device, progress)
    found = measure_recall(chosen, model, others, parameters, out, progress)
    return found | {"retrieval_not_measured": reason}
