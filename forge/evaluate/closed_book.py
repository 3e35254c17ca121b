"""Questions to a trained model: asked, marked, set beside what others reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.evaluate.asking import TrainedModel
from forge.evaluate.opponents import ask_opponents
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
        questions: as `choose` returns them.
        network: the model, of transformers.
        corpus: what it was trained on.
        tokenizer: folder of its tokenizer.
        out: a folder.
        progress: told of passages and questions.

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
    progress.note(f"asking {len(questions)} questions")
    others, reason = ask_opponents(questions, parameters, corpus, plan.layout.device, progress)
    found = measure_recall(questions, model, others, parameters, out, progress)
    return found | {"retrieval_not_measured": reason}
