"""Which questions are asked: the user's own, one for each fact, and some about names that nothing bears."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.evaluate.facts import fact_questions, read_facts, unknown_questions
from forge.evaluate.questions import Question, read_questions
from forge.evaluate.training_text import look_up
from forge.progress import Progress

SPARE_NAMES = 2
"""Names are made up this many times over, for those that turn out to be in the training text."""


def read_all(parameters: Mapping[str, Any]) -> list[Question]:
    """Return the questions of a spec, those of facts made and those about made-up names, before any is looked up.

    Args:
        parameters: the evaluate stage's: questions, facts, fact_templates, unknown_questions, and the seed of names.

    Raises:
        StageError: a file cannot be read, or a line in it is wrong.
    """
    questions = []
    if parameters["questions"] is not None:
        questions += read_questions(Path(parameters["questions"]), "evaluate.questions")
    if parameters["facts"] is not None:
        facts = read_facts(Path(parameters["facts"]), "evaluate.facts")
        templates = parameters["fact_templates"]
        count = SPARE_NAMES * parameters["unknown_questions"]
        questions += fact_questions(facts, templates)
        for unknown in unknown_questions(facts, templates, count, parameters["seed"]):
            questions += unknown
    return questions


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
