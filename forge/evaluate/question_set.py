"""Which of the given questions are asked, and of what kind they are by what the training text has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.evaluate.questions import Question
from forge.evaluate.training_text import look_up
from forge.progress import Progress


def choose(
    questions: Sequence[Question], corpus: Path, most_unknown: int, progress: Progress
) -> list[Question]:
    """Return the questions to ask, with their kinds, told what the training text has.

    Each text is asked once, the user's own questions first; of those about made-up names at most `most_unknown` of a
    kind.
    """
    if not questions:
        return []
    progress.note("looking the questions up in the training text")
    progress.start(split_bytes(corpus, "train"), "bytes")
    texts = (row.text for row in corpus_rows(corpus, "train"))
    made: Counter[str] = Counter()
    asked: dict[str, Question] = {}
    for question in look_up(questions, texts, progress):
        is_made = question.is_unknown and question.subject is not None
        if question.text in asked or (is_made and made[question.kind] == most_unknown):
            continue
        made[question.kind] += is_made
        asked[question.text] = question
    return list(asked.values())
