"""What can be known about a product, a person, a policy or an office of the company, and how it is said and asked."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.messy import dev
from benchmarks.messy.voice import Attribute, numbers

CITIES = tuple("Aarhus Bergen Coimbra Dresden Ghent Leiden Malmo Porto Tartu Utrecht Verona Zagreb".split())


@dataclass(frozen=True)
class Topic:
    """An attribute, and the questions about it."""

    attribute: Attribute
    questions: tuple[str, ...]
    """With {S}."""

    def value(self, rng: random.Random) -> str:
        """Return a value, as it stands in a sentence."""
        return self.attribute.values(rng, 1)[0]


def _cities(rng: random.Random, count: int) -> list[str]:
    return rng.sample(CITIES, count)


def _of_dev(name: str) -> Attribute:
    (found,) = (one for one in (*dev.PRODUCT_ATTRIBUTES, *dev.POLICY_ATTRIBUTES) if one.name == name)
    return found


PRODUCT = (
    Topic(_of_dev("price"), ("What is the list price of {S}?", "How much does {S} cost?")),
    Topic(
        _of_dev("rate limit"), ("What is the API rate limit of {S}?", "How many API calls does {S} accept?")
    ),
    Topic(
        _of_dev("retention"),
        ("What is the data retention period of {S}?", "How long does {S} keep customer data?"),
    ),
    Topic(
        _of_dev("upload size"),
        ("What is the maximum upload size in {S}?", "How large may uploads to {S} be?"),
    ),
    Topic(_of_dev("owner"), ("Who is the product owner of {S}?", "Who is responsible for {S}?")),
    Topic(
        _of_dev("response time"),
        ("What is the support response time for {S}?", "How fast does support answer tickets about {S}?"),
    ),
)
PERSON = (
    Topic(
        Attribute(
            "city",
            "office",
            _cities,
            ("{S} works in the {V} office.", "The office of {S} is {V}.", "{S} is based in {V}."),
            ("Office: {V}.", "Based in {V}."),
            ("{S} sits in {V}", "{S} is in the {V} office today as always"),
        ),
        ("In which office does {S} work?", "Where is {S} based?"),
    ),
    Topic(
        Attribute(
            "extension",
            "phone extension",
            numbers(1000, 9999, 1, "{n}"),
            ("The phone extension of {S} is {V}.", "Call {S} on extension {V}.", "{S} has extension {V}."),
            ("Extension: {V}.", "Phone extension {V}."),
            ("extension of {S} is {V}", "you reach {S} on {V}"),
        ),
        ("What is the phone extension of {S}?", "Which extension does {S} have?"),
    ),
)
POLICY = tuple(
    Topic(_of_dev(name), (question,))
    for name, question in (
        ("annual leave", "How much annual leave is there under the {S}?"),
        ("hotel cap", "What is the hotel limit in the {S}?"),
        ("password length", "What is the minimum password length in the {S}?"),
    )
)
OFFICE = (
    Topic(
        Attribute(
            "opened",
            "opening year",
            numbers(1991, 2024, 1, "{n}"),
            (
                "The {S} office opened in {V}.",
                "Our {S} office has been open since {V}.",
                "In {V} the {S} office opened.",
            ),
            ("Open since {V}.", "The office opened in {V}."),
            ("the {S} office opened in {V}, time flies", "fun fact: the {S} office is open since {V}"),
        ),
        ("When did the {S} office open?", "Since when is the {S} office open?"),
    ),
    Topic(
        Attribute(
            "seats",
            "number of desks",
            numbers(12, 240, 1, "{n} desks"),
            (
                "The {S} office has {V}.",
                "There are {V} in the {S} office.",
                "The {S} office was built for {V}.",
            ),
            ("Room for {V}.", "It has {V}."),
            ("the {S} office has {V}", "we counted again: {V} in the {S} office"),
        ),
        ("How many desks does the {S} office have?", "How large is the {S} office?"),
    ),
)
TOPICS = {"product": PRODUCT, "person": PERSON, "policy": POLICY, "office": OFFICE}
