"""Rules a document must pass. Each is a small function that says nothing, or the reason and the number behind it.

The defaults are meant for documents somebody chose: rules made for web crawls drop 81 % of technical and legal text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from forge.data.words import count_letters


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a document is set aside."""

    reason: str
    """A stable short code."""
    detail: str


Rule = Callable[[str, int, dict[str, Any]], Finding | None]
"""(text, words, parameters) -> what is wrong, or None."""


def empty(text: str, words: int, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of which repair left nothing."""
    return None if text.strip() else Finding("empty", "nothing but control characters and white space")


def too_few_words(text: str, words: int, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of fewer than `min_words` words."""
    least = parameters["min_words"]
    return Finding("too few words", f"{words} words, min_words is {least}") if words < least else None


def too_few_letters(text: str, words: int, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where letters are less than `min_alphabetic_fraction` of all that is not white space."""
    least = parameters["min_alphabetic_fraction"]
    seen = sum(map(len, text.split()))
    fraction = count_letters(text) / seen if seen else 0.0
    if fraction >= least:
        return None
    return Finding("too few letters", f"{fraction:.3f} of it is letters, min_alphabetic_fraction is {least}")


def repeated_lines(text: str, words: int, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where more than `max_repeated_line_fraction` of the lines repeat an earlier one.

    Empty lines do not count (Gopher's duplicate line fraction, arXiv:2112.11446, table A1).
    """
    most = parameters["max_repeated_line_fraction"]
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    fraction = 1 - len(set(lines)) / len(lines) if lines else 0.0
    if fraction <= most:
        return None
    detail = (
        f"{fraction:.3f} of {len(lines)} lines repeat an earlier one, max_repeated_line_fraction is {most}"
    )
    return Finding("repeated lines", detail)


RULES: tuple[Rule, ...] = (empty, too_few_words, too_few_letters, repeated_lines)


def first_finding(text: str, words: int, parameters: dict[str, Any]) -> Finding | None:
    """Return what the first rule that objects says, or None."""
    for rule in RULES:
        if finding := rule(text, words, parameters):
            return finding
    return None
