"""The questions that a spec asks: the user's own, one for each fact, and some about names that nothing bears."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forge.evaluate.facts import fact_questions, read_facts, unknown_questions
from forge.evaluate.questions import Question, read_questions

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
