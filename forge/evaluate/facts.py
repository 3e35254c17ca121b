"""Facts in the form subject, attribute, value, and the questions that templates make of them.

A file of facts is CSV with a header, or JSON lines, with the columns `subject`, `attribute`, `value` and perhaps
`aliases` (other ways to say the value; in CSV with | between) and `source`. A subject with several values for an
attribute has several right answers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.evaluate.marking import normalised
from forge.evaluate.names import far_names, near_names
from forge.evaluate.questions import DOCUMENT, FAR, NEAR, Question, json_lines, read_utf8, texts_of

DEFAULT_TEMPLATE = "What is the {attribute} of {subject}?"
FIELDS = ("subject", "attribute", "value")
MADE_UP = "made from the names of the facts"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of a subject."""

    subject: str
    attribute: str
    values: tuple[str, ...]
    """Each is right to answer."""
    source: str


def read_facts(path: Path, where: str) -> list[Fact]:
    """Return the facts of a file, one for each subject and attribute, in the order of their first lines.

    Args:
        path: .csv, or JSON lines.
        where: who named the file, for errors: `evaluate.facts`.

    Raises:
        StageError: it cannot be read, or a line is no fact.
    """
    facts: dict[tuple[str, str], Fact] = {}
    for number, record in _csv(path, where) if path.suffix.lower() == ".csv" else json_lines(path, where):
        fact = _fact(record, f"{where}: {path}:{number}", f"{path.name}:{number}")
        first = facts.setdefault((fact.subject, fact.attribute), fact)
        if first is not fact:
            values = tuple(dict.fromkeys(first.values + fact.values))
            facts[fact.subject, fact.attribute] = Fact(fact.subject, fact.attribute, values, first.source)
    if not facts:
        raise StageError(f"{where}: {path}: has no fact: give lines of {', '.join(FIELDS)}")
    return list(facts.values())


def fact_questions(facts: Sequence[Fact], templates: Mapping[str, str]) -> list[Question]:
    """Return the question of each fact, of kind DOCUMENT until the training text is looked at.

    Args:
        facts: what is true.
        templates: by attribute, with {subject} and perhaps {attribute} in them; DEFAULT_TEMPLATE for others.
    """
    values = _values_by_attribute(facts)
    questions = []
    for fact in facts:
        right = {normalised(value) for value in fact.values}
        others = tuple(value for words, value in values[fact.attribute].items() if words not in right)
        text = ask(fact.subject, fact.attribute, templates)
        questions.append(Question(text, fact.values, DOCUMENT, fact.source, others, fact.subject))
    return questions


def unknown_questions(
    facts: Sequence[Fact], templates: Mapping[str, str], count: int, seed: int
) -> tuple[list[Question], list[Question]]:
    """Return up to `count` questions about near names, and `count` about far ones: subjects of no fact.

    Attributes follow each other as they do in the facts.
    """
    subjects = list(dict.fromkeys(fact.subject for fact in facts))
    values = _values_by_attribute(facts)
    attributes = list(values)

    def about(names: Sequence[str], kind: str) -> list[Question]:
        asked = [(name, attributes[place % len(attributes)]) for place, name in enumerate(names)]
        return [
            Question(
                text=ask(name, attribute, templates),
                answers=(),
                kind=kind,
                source=MADE_UP,
                others=tuple(values[attribute].values()),
                subject=name,
            )
            for name, attribute in asked
        ]

    return about(near_names(subjects, count, seed), NEAR), about(far_names(subjects, count, seed), FAR)


def ask(subject: str, attribute: str, templates: Mapping[str, str]) -> str:
    """Return the question for an attribute of a subject."""
    template = templates.get(attribute, DEFAULT_TEMPLATE)
    return template.replace("{attribute}", attribute).replace("{subject}", subject)


def _values_by_attribute(facts: Iterable[Fact]) -> dict[str, dict[tuple[str, ...], str]]:
    """Return the first value of each fact by attribute and normalised words: values that read alike once."""
    found: dict[str, dict[tuple[str, ...], str]] = {}
    for fact in facts:
        found.setdefault(fact.attribute, {})[normalised(fact.values[0])] = fact.values[0]
    return found


def _fact(record: Mapping[str, Any], where: str, place: str) -> Fact:
    named = {}
    for name in FIELDS:
        texts = texts_of(dict(record), name, where)
        if not texts or not all(map(normalised, texts)):
            raise StageError(f"{where}: has no {name}: give each fact {', '.join(FIELDS)}")
        named[name] = texts
    aliases = record.get("aliases")
    if isinstance(aliases, str):
        aliases = [alias for alias in aliases.split("|") if alias.strip()]
    values = named["value"] + texts_of({"aliases": aliases}, "aliases", where)
    source = record.get("source")
    return Fact(
        named["subject"][0],
        named["attribute"][0],
        values,
        source if isinstance(source, str) and source else place,
    )


def _csv(path: Path, where: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_utf8(path, where), newline=""), strict=True)
    try:
        if missing := [name for name in FIELDS if name not in (reader.fieldnames or ())]:
            raise StageError(
                f"{where}: {path}:1: has no column {missing[0]}: begin with a header, {','.join(FIELDS)}"
            )
        records = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise StageError(f"{where}: {path}:{reader.line_num}: is not CSV ({error}): mend the line") from None
    for number, row in records:
        if None in row or None in row.values():
            raise StageError(
                f"{where}: {path}:{number}: has not as many cells as the header: put texts with commas in quotes"
            )
    return records
