"""Rules a document must pass. Each is a small function that says nothing, or the reason and the number behind it.

The rules are those of Gopher (Rae et al. 2021, arXiv:2112.11446, section A1), C4 (Raffel et al. 2020, arXiv:1910.10683,
section 2.2) and FineWeb (Penedo et al. 2024, arXiv:2406.17557, section 3.6). A rule without a limit (null) is off. The
defaults are meant for documents somebody chose: the limits made for web crawls drop 81 % of technical and legal text.
`data=web` sets those limits.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from forge.data.draft import Finding
from forge.data.repeated_runs import repeated_runs
from forge.data.sets import chunks
from forge.data.word_codes import Uint64, WordCodes, word_codes
from forge.data.words import count_letters, count_seen

STOP_WORDS = "the of to and that be with have"
"""Gopher's list, the most frequent first."""
SYMBOLS = ("#", "...", "…")
BULLETS = ("•", "●", "‣", "▪", "*", "-")
ELLIPSES = ("...", "…")
TERMINAL = (".", "!", "?", ";", ":", '"', "”", "'", "’", "。", "！", "？", "؟", "۔", "।")
SENTENCE_END = re.compile(r"[.!?。！？؟।](?=[\s\"'”’)\]]|$)")
SHORT_LINE_CHARACTERS = 30
"""FineWeb's."""
BLOCK_WORDS = 1 << 15
"""Texts judged together: their words stay in the processor's cache."""


@dataclass
class Measured:
    """A text, and what several rules ask of it."""

    text: str
    words: WordCodes

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not empty, without the white space around them."""
        return list(filter(None, map(str.strip, self.text.split("\n"))))

    @cached_property
    def distinct_lines(self) -> set[str]:
        """The lines, each once."""
        return set(self.lines)

    @cached_property
    def seen_characters(self) -> int:
        """Characters other than white space."""
        return count_seen(self.text)

    @cached_property
    def word_characters(self) -> int:
        """Characters in words."""
        return int(self.words.lengths.sum())


Rule = Callable[[Measured, dict[str, Any]], Finding | None]
"""(text and measures, parameters) -> what is wrong, or None."""


def empty(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of which earlier steps left nothing."""
    if of.text.strip():
        return None
    return Finding("empty", "the steps before left nothing but white space", 0.0)


def too_few_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of fewer than `min_words` words (Gopher: 50)."""
    return _below("too few words", "words", len(of.words), parameters, "min_words")


def too_many_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of more than `max_words` words (Gopher: 100,000)."""
    return _above("too many words", "words", len(of.words), parameters, "max_words")


def too_few_letters(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where letters are less than `min_alphabetic_fraction` of all that is not white space."""
    fraction = count_letters(of.text) / of.seen_characters if of.seen_characters else 0.0
    return _below("too few letters", "of it is letters", fraction, parameters, "min_alphabetic_fraction")


def short_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text whose words are too short on average (Gopher: 3 characters)."""
    return _below("short words", "characters a word", _mean_word(of), parameters, "min_mean_word_characters")


def long_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text whose words are too long on average (Gopher: 10 characters): keys, dumps, encoded data."""
    return _above("long words", "characters a word", _mean_word(of), parameters, "max_mean_word_characters")


def symbols(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text with too many `#` and ellipses for its words (Gopher: 0.1 each)."""
    if parameters["max_symbols_per_word"] is None:
        return None
    found = sum(map(of.text.count, SYMBOLS)) / max(1, len(of.words))
    return _above("many symbols", "symbols a word", found, parameters, "max_symbols_per_word")


def bullets(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text most of whose lines begin with a bullet (Gopher: 0.9)."""
    key = "max_bullet_line_fraction"
    fraction = 0.0
    # A line that begins with a bullet has one: counting those is many times as fast.
    if parameters[key] is not None and sum(map(of.text.count, BULLETS)) > parameters[key] * len(of.lines):
        fraction = _line_share(of, operator.methodcaller("startswith", BULLETS), parameters, key)
    return _above("bullets", "of the lines begin with a bullet", fraction, parameters, key)


def ellipses(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text many of whose lines end in an ellipsis (Gopher: 0.3)."""
    key = "max_ellipsis_line_fraction"
    fraction = 0.0
    if any(mark in of.text for mark in ELLIPSES):
        fraction = _line_share(of, operator.methodcaller("endswith", ELLIPSES), parameters, key)
    return _above("ellipses", "of the lines end in one", fraction, parameters, key)


def stop_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text that has too few different ones of eight English words (Gopher: 2)."""
    least = parameters["min_stop_words"]
    if least is None:
        return None
    there = (word for word in _stop_words() if (of.words.codes == word).any())
    found = sum(1 for _ in itertools.islice(there, least))
    return _below("few stop words", "stop words", found, parameters, "min_stop_words")


def repeated_lines(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where too many lines repeat an earlier one; empty lines do not count (Gopher: 0.3)."""
    fraction = 1 - len(of.distinct_lines) / len(of.lines) if of.lines else 0.0
    what = f"of {len(of.lines)} lines repeat an earlier one"
    return _above("repeated lines", what, fraction, parameters, "max_repeated_line_fraction")


def repeated_line_characters(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text too much of which stands in lines that repeat an earlier one (Gopher: 0.2, FineWeb: 0.1)."""
    if parameters["max_repeated_line_character_fraction"] is None:
        return None
    characters = sum(map(len, of.lines))
    fraction = 1 - sum(map(len, of.distinct_lines)) / characters if characters else 0.0
    what = "of the text is lines that repeat an earlier one"
    return _above(
        "repeated line characters", what, fraction, parameters, "max_repeated_line_character_fraction"
    )


def repeated_paragraphs(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where too many paragraphs repeat an earlier one (Gopher: 0.3)."""
    # A paragraph that repeats is lines that repeat.
    if parameters["max_repeated_paragraph_fraction"] is None or len(of.distinct_lines) == len(of.lines):
        return None
    paragraphs = [one for one in map(str.strip, re.split(r"\n\s*\n", of.text)) if one]
    fraction = 1 - len(set(paragraphs)) / len(paragraphs) if paragraphs else 0.0
    what = f"of {len(paragraphs)} paragraphs repeat an earlier one"
    return _above("repeated paragraphs", what, fraction, parameters, "max_repeated_paragraph_fraction")


def sentences(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of too few sentences (C4: 5)."""
    least = parameters["min_sentences"]
    if least is None:
        return None
    ends = sum(1 for _ in itertools.islice(SENTENCE_END.finditer(of.text), least))
    return _below("few sentences", "sentences", ends, parameters, "min_sentences")


def phrases(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text that holds one of `refused_phrases`, cases levelled (C4: "lorem ipsum", "{", "javascript")."""
    if not parameters["refused_phrases"]:
        return None
    folded = of.text.casefold()
    for phrase in parameters["refused_phrases"]:
        if phrase.casefold() in folded:
            return Finding("refused phrase", f"holds {phrase!r}, which is in refused_phrases", 1.0)
    return None


def unpunctuated_lines(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text too few of whose lines end in punctuation (FineWeb: 0.12)."""
    key = "min_punctuated_line_fraction"
    fraction = _line_share(of, operator.methodcaller("endswith", TERMINAL), parameters, key)
    return _below("unpunctuated lines", "of the lines end in punctuation", fraction, parameters, key)


def short_lines(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text most of whose lines are shorter than 30 characters (FineWeb: 0.67)."""
    key = "max_short_line_fraction"
    fraction = _line_share(of, lambda line: len(line) < SHORT_LINE_CHARACTERS, parameters, key)
    return _above(
        "short lines", f"of the lines are under {SHORT_LINE_CHARACTERS} characters", fraction, parameters, key
    )


FIRST_RULES: tuple[Rule, ...] = (
    empty,
    too_few_words,
    too_many_words,
    too_few_letters,
    short_words,
    long_words,
    symbols,
    bullets,
    ellipses,
    stop_words,
    repeated_lines,
    repeated_line_characters,
    repeated_paragraphs,
)
LAST_RULES: tuple[Rule, ...] = (sentences, phrases, unpunctuated_lines, short_lines)
"""Those after the rules on runs of words that repeat."""


def findings(
    texts: Sequence[str], words: Sequence[WordCodes], parameters: dict[str, Any]
) -> Iterator[Finding | None]:
    """Yield for each text what the first rule that objects says, or None."""
    for first, last in chunks(np.array([len(one) for one in words], np.int64), BLOCK_WORDS):
        yield from _judged(list(map(Measured, texts[first:last], words[first:last])), parameters)


def _judged(block: list[Measured], parameters: dict[str, Any]) -> list[Finding | None]:
    found = [_first_finding(FIRST_RULES, one, parameters) for one in block]
    left = [place for place, finding in enumerate(found) if finding is None]
    runs = repeated_runs([block[place].words for place in left], parameters)
    for place, finding in zip(left, runs, strict=True):
        found[place] = finding or _first_finding(LAST_RULES, block[place], parameters)
    return found


def _first_finding(rules: Sequence[Rule], of: Measured, parameters: dict[str, Any]) -> Finding | None:
    return next(filter(None, (rule(of, parameters) for rule in rules)), None)


def _below(reason: str, what: str, value: float, parameters: dict[str, Any], key: str) -> Finding | None:
    least = parameters[key]
    if least is None or value >= least:
        return None
    return Finding(reason, f"{_shown(value)} {what}, {key} is {least}", float(value))


def _above(reason: str, what: str, value: float, parameters: dict[str, Any], key: str) -> Finding | None:
    most = parameters[key]
    if most is None or value <= most:
        return None
    return Finding(reason, f"{_shown(value)} {what}, {key} is {most}", float(value))


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _mean_word(of: Measured) -> float:
    return of.word_characters / max(1, len(of.words))


def _line_share(of: Measured, test: Callable[[str], bool], parameters: dict[str, Any], key: str) -> float:
    """Return the share of lines that pass `test`; nothing is counted for a rule that is off."""
    if parameters[key] is None or not of.lines:
        return 0.0
    return sum(map(test, of.lines)) / len(of.lines)


@functools.cache
def _stop_words() -> Uint64:
    (words,) = word_codes([STOP_WORDS])
    return words.codes
