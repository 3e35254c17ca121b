"""What the model is examined on: held-out documents and questions, told what the training text has of them.

`evaluate.contamination` says what becomes of those that share a run of words with it: `report` measures them like any
other, `drop` leaves them out, `refuse` stops the run, before the training where it has not been yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.data.loading import TokenShard
from forge.errors import StageError
from forge.evaluate.contamination import LONGEST_RUN_WORDS, Overlap, summarize
from forge.evaluate.corpus_overlaps import overlaps_with_training
from forge.evaluate.given_questions import read_all
from forge.evaluate.held_out import HeldOut, select_held_out, without_documents
from forge.evaluate.question_set import choose
from forge.evaluate.questions import SEEN, Question
from forge.evaluate.texts import held_out_texts
from forge.plan.types import Task
from forge.progress import Progress

HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class Examined:
    """The measured part of the held-out stream, and the questions to ask."""

    stream: TokenShard
    held_out: HeldOut
    texts: list[str]
    """Of the documents of `held_out`, in their order."""
    questions: list[Question]
    contamination: dict[str, Any]
    """As it stands in evaluation.json, of everything that was looked at."""


def examine(
    parameters: Mapping[str, Any], corpus: Path, tokens: Path, task: Task, progress: Progress
) -> Examined:
    """Return what the model is examined on.

    A question is looked for by itself, without its answer. One of kind `seen` is in the training text by intent: it is
    never dropped and refuses nothing.

    Args:
        parameters: the evaluate stage's.
        corpus: a corpus artifact.
        tokens: the tokens made from it.
        task: what they are for.
        progress: told of bytes.

    Raises:
        StageError: something is contaminated and the spec refuses that, nothing is left, nothing is held out, or a file
            of questions is wrong.
    """
    stream = TokenShard.open(tokens, "held_out")
    held_out = select_held_out(tokens, stream, parameters["held_out_max_tokens"])
    texts = held_out_texts(corpus, held_out, task)
    questions = choose(read_all(parameters), corpus, parameters["unknown_questions"], progress)
    by_kind = question_texts(questions)
    overlaps = overlaps_with_training({HELD_OUT: texts, **by_kind}, corpus, task, progress)
    contamination = {"action": parameters["contamination"], **describe(overlaps)}
    unmeant = {kind: overlaps[kind] for kind in by_kind if kind != SEEN}
    if parameters["contamination"] == "refuse":
        _refuse(overlaps[HELD_OUT], [one for each in unmeant.values() for one in each])
    if parameters["contamination"] == "drop":
        clean = [not one.is_contaminated for one in overlaps[HELD_OUT]]
        if not any(clean):
            raise StageError(
                f"evaluate.contamination: all {len(texts)} held-out documents share a run of {LONGEST_RUN_WORDS} words "
                "with the training text: set `report`, or hold out others"
            )
        stream, held_out = without_documents(stream, held_out, clean)
        texts = [text for text, is_clean in zip(texts, clean, strict=True) if is_clean]
        questions = _clean(questions, unmeant)
    return Examined(stream, held_out, texts, questions, contamination)


def question_texts(questions: Sequence[Question]) -> dict[str, list[str]]:
    """Return the texts of questions by their kind."""
    return {
        kind: [question.text for question in questions if question.kind == kind]
        for kind in dict.fromkeys(question.kind for question in questions)
    }


def describe(overlaps: Mapping[str, Sequence[Overlap]]) -> dict[str, Any]:
    """Return what evaluation.json has of overlaps: `sets` are `held_out`, `text` and kinds of questions."""
    return {
        "run_words": LONGEST_RUN_WORDS,
        "sets": {name: summarize(some) for name, some in overlaps.items()},
    }


def _refuse(held_out: Sequence[Overlap], questions: Sequence[Overlap]) -> None:
    counts = [
        f"{found} of {len(some)} {name}"
        for name, some in (("held-out documents", held_out), ("questions", questions))
        if (found := sum(one.is_contaminated for one in some))
    ]
    if counts:
        raise StageError(
            f"evaluate.contamination: refuse: {' and '.join(counts)} share a run of {LONGEST_RUN_WORDS} words with the "
            "training text (a shorter question all of it): name their files in data.evaluation_files with "
            "`decontaminate` in data.curate, or set `drop` or `report`"
        )


def _clean(questions: Sequence[Question], overlaps: Mapping[str, Sequence[Overlap]]) -> list[Question]:
    """Return the questions that are not contaminated; `overlaps` has those of a kind in the order of `questions`."""
    contaminated = {kind: iter(some) for kind, some in overlaps.items()}
    return [
        question
        for question in questions
        if question.kind not in contaminated or not next(contaminated[question.kind]).is_contaminated
    ]
