"""What is true of the company, what it is asked, and what nobody can know."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.company.names import Names, near_misses
from benchmarks.company.topics import CITIES, PERSON, PRODUCT, TOPICS, Topic
from benchmarks.messy import dev

ABSTENTION = "I do not know."
PRODUCTS = 48
PEOPLE = 24


class Known(StrEnum):
    """How the folder knows the answer to a question; the kinds of `forge.evaluate.questions`."""

    SEEN = "seen"
    """Stated in many documents in several wordings, and as question and answer."""
    DOCUMENT = "document"
    """Stated in many documents in several wordings, never as question and answer."""
    UNTAUGHT = "untaught"
    """Stated in documents that lie beside the folder."""
    NEAR = "unknown_near"
    """Nowhere: a name made of two words of the company's names."""
    FAR = "unknown_far"
    """Nowhere: a name that shares no word with the company's."""


# Of all facts.
SHARES = {Known.SEEN: 0.7, Known.DOCUMENT: 0.2, Known.UNTAUGHT: 0.1}


@dataclass(frozen=True)
class Fact:
    """A thing that is true of the company."""

    kind: str
    """Of the subject: a key of TOPICS."""
    subject: str
    topic: Topic
    value: str
    known: Known


@dataclass(frozen=True)
class Question:
    """A question, its answer, and how the folder knows it."""

    text: str
    answer: str
    """ABSTENTION where nobody can know."""
    known: Known


@dataclass(frozen=True)
class Knowledge:
    """All there is to know, and the questions kept apart."""

    facts: tuple[Fact, ...]
    taught_unknown: tuple[Question, ...]
    """Questions without an answer that documents show being asked. Their names are in none of `questions`."""
    questions: tuple[Question, ...]
    """For the examination."""


def know(seed: int, scale: float, asked_of_each: int) -> Knowledge:
    """Return what is known at `scale` (1: 48 products, 24 people), and up to `asked_of_each` questions of each kind."""
    rng = random.Random(f"company {seed}")
    names = Names(rng)
    products = names.products(max(4, round(PRODUCTS * scale)))
    people = names.people(max(4, round(PEOPLE * scale)))
    subjects = {
        "product": products,
        "person": people,
        "policy": list(dev.VOICE.policies[: max(2, round(len(dev.VOICE.policies) * scale))]),
        "office": list(CITIES[: max(2, round(len(CITIES) * scale))]),
    }
    facts = list(_facts(rng, subjects))
    asked = [
        question
        for known in SHARES
        for question in _ask(rng, [fact for fact in facts if fact.known is known], asked_of_each)
    ]
    taught: list[Question] = []
    # What is asked in the examination is drawn first, so no name of it is left to be taught.
    for known, of_products, of_people, taught_a_fact in (
        (Known.NEAR, iter(near_misses(rng, products)), iter(near_misses(rng, people)), 2),
        (Known.FAR, names.strange_products(), names.strange_people(), 1),
    ):
        asked += _unknown(rng, known, of_products, of_people, asked_of_each)
        taught += _unknown(rng, known, of_products, of_people, taught_a_fact * len(facts))
    return Knowledge(tuple(facts), tuple(taught), tuple(asked))


def _facts(rng: random.Random, subjects: dict[str, list[str]]) -> Iterator[Fact]:
    for kind, own in subjects.items():
        for place, subject in enumerate(own):
            topics = TOPICS[kind]
            # A policy is about one thing.
            for topic in topics if kind != "policy" else topics[place % len(topics) :][:1]:
                value = (
                    rng.choice(subjects["person"]) if topic.attribute.name == "owner" else topic.value(rng)
                )
                (known,) = rng.choices(list(SHARES), list(SHARES.values()))
                yield Fact(kind, subject, topic, value, known)


def _ask(rng: random.Random, facts: list[Fact], most: int) -> Iterator[Question]:
    for fact in rng.sample(facts, min(most, len(facts))):
        text = rng.choice(fact.topic.questions).format(S=fact.subject)
        yield Question(text, fact.value, fact.known)


def _unknown(
    rng: random.Random, known: Known, of_products: Iterator[str], of_people: Iterator[str], count: int
) -> list[Question]:
    """Return `count` questions that have no answer, each about another name, where there are names enough."""
    found: list[Question] = []
    while len(found) < count:
        # Products have three times the questions that people have.
        names, topics = (of_people, PERSON) if rng.random() < 0.25 else (of_products, PRODUCT)
        name = next(names, None)
        if name is None:
            break
        text = rng.choice(rng.choice(topics).questions).format(S=name)
        found.append(Question(text, ABSTENTION, known))
    return found
