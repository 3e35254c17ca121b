"""What the model is examined on: held-out documents and questions, told what the training text has of them.

`evaluate.contamination` says what becomes of those that share a run of words with it: `report` measures them like any
other, `drop` leaves them out, `refuse` stops the run, before the training where it has not been yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.data.loading import TokenShard
from forge.errors import StageError
from forge.evaluate.contamination import LONGEST_RUN_WORDS, Overlap, find_overlaps, summarize
from forge.evaluate.held_out import HeldOut, select_held_out, without_documents
from forge.evaluate.question_set import choose, read_all
from forge.evaluate.questions import SEEN, Question
from forge.evaluate.texts import held_out_texts, predicted_text
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


def examine(parameters: Mapping[str, Any], corpus: Path, tokens: Path, progress: Progress) -> Examined:
    """Return what the model is examined on.

    A question is looked for by itself, without its answer. One of kind `seen` is in the training text by intent: it is
    never dropped and refuses nothing.

    Args:
        parameters: the evaluate stage's.
        corpus: a corpus artifact.
        tokens: the tokens made from it.
        progress: told of bytes.

    Raises:
        StageError: something is contaminated and the spec refuses that, nothing is left, nothing is held out, or a file
            of questions is wrong.
    """
    stream = TokenShard.open(tokens, "held_out")
    held_out = select_held_out(tokens, stream, parameters["held_out_max_tokens"])
    conversations = stream.labels is not None
    texts = held_out_texts(corpus, held_out, conversations)
    questions = read_all(parameters)
    if questions:
        progress.note("looking the questions up in the training text")
        questions = choose(questions, corpus, parameters["unknown_questions"], progress)
    kinds = list(dict.fromkeys(question.kind for question in questions))
    sets = {kind: [question.text for question in questions if question.kind == kind] for kind in kinds}
    progress.note("looking for runs of words of the evaluation in the training text")
    progress.start(split_bytes(corpus, "train"), "bytes")
    training = (predicted_text(row.text, conversations) for row in corpus_rows(corpus, "train"))
    overlaps = find_overlaps({HELD_OUT: texts, **sets}, training, progress)
    contamination = {
        "run_words": LONGEST_RUN_WORDS,
        "action": parameters["contamination"],
        HELD_OUT: summarize(overlaps[HELD_OUT]),
        "questions": {kind: summarize(overlaps[kind]) for kind in kinds},
    }
    unmeant = {kind: overlaps[kind] for kind in kinds if kind != SEEN}
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
