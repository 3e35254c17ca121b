"""What a voice is: the names, sentences and habits that one generated company writes with."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attribute:
    """Something that can be known about a subject, and the ways this company says it."""

    name: str
    noun: str
    """As in 'the {noun} of {S}'."""
    values: Callable[[random.Random, int], list[str]]
    """(rng, n) -> n values that differ; each a text as it stands in a sentence."""
    full: tuple[str, ...]
    """Sentences with {S} and {V}."""
    under: tuple[str, ...]
    """Sentences with {V} for a page whose title names the subject."""
    chat: tuple[str, ...]
    """Chat messages with {S} and {V}."""


@dataclass(frozen=True)
class Voice:
    """Everything that differs between the templates detectors were developed on and those kept apart."""

    company: str
    domain: str
    products: tuple[str, ...]
    policies: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    fillers: tuple[str, ...]
    parts: tuple[str, ...]
    verbs: tuple[str, ...]
    things: tuple[str, ...]
    qualities: tuple[str, ...]
    product_attributes: tuple[Attribute, ...]
    policy_attributes: tuple[Attribute, ...]
    same: tuple[Callable[[str], str | None], ...]
    """Other ways to write a value that mean the same; None where one does not apply."""
    history: tuple[str, ...]
    """Sentences with {S}, {noun}, {V} (not in force), {W} (in force) and {year}: they contradict nothing."""
    elsewhere: tuple[str, ...]
    """Sentences with {S}, {noun}, {V} for another tier, place or case: they contradict nothing."""
    idle: tuple[str, ...]
    """Questions and proposals with {S}, {noun}, {V}: they contradict nothing."""
    superseded_banners: tuple[str, ...]
    expired_lines: tuple[str, ...]
    """With {past}, a date years ago."""
    reviewed_lines: tuple[str, ...]
    """With {past}: the label of a last review."""
    alive_lines: tuple[str, ...]
    """Sentences with stale-looking words that say nothing about their document. {past}, {future}."""
    version_names: tuple[tuple[str, ...], ...]
    """Styles of naming the versions of one document, oldest first; {stem}."""
    version_lines: tuple[str, ...]
    """With {n} and {date}: how a document states its version; may be ''."""
    copy_names: tuple[str, ...]
    """Names a copy gets; {stem}."""
    secret_lines: dict[str, tuple[str, ...]]
    """By kind: lines with {V}."""
    clean_lines: tuple[str, ...]
    """Lines with what only looks like a secret."""


def numbers(low: int, high: int, step: int, form: str) -> Callable[[random.Random, int], list[str]]:
    """Return a source of distinct values `form` of numbers in a range; {n} is the number."""

    def values(rng: random.Random, count: int) -> list[str]:
        return [form.format(n=n) for n in rng.sample(range(low, high + 1, step), count)]

    return values
