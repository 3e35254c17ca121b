"""Rules a document must pass. Each is a small function that says nothing, or the reason and the number behind it.

The rules are those of Gopher (Rae et al. 2021, arXiv:2112.11446, section A1), C4 (Raffel et al. 2020, arXiv:1910.10683,
section 2.2) and FineWeb (Penedo et al. 2024, arXiv:2406.17557, section 3.6). A rule without a limit (null) is off. The
defaults are meant for documents somebody chose: the limits made for web crawls drop 81 % of technical and legal text.
`data=web` sets those limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.draft import Finding
from forge.data.shingles import runs
from forge.data.word_codes import WordCodes, mix, word_codes
from forge.data.words import count_letters

STOP_WORDS = "the be to of and that have with"
"""Gopher's list."""
SYMBOLS = re.compile(r"#|\.\.\.|…")
BULLETS = ("•", "●", "‣", "▪", "*", "-")
ELLIPSES = ("...", "…")
TERMINAL = (".", "!", "?", ";", ":", '"', "”", "'", "’", "。", "！", "？", "؟", "۔", "।")
SENTENCE_END = re.compile(r"[.!?。！？؟।](?=[\s\"'”’)\]]|$)")
LEAST_REPEATED_WORDS = 5
"""Of the shortest runs that `max_repeated_ngram_fractions` speaks of."""
SHORT_LINE_CHARACTERS = 30
"""FineWeb's."""


@dataclass
class Measured:
    """A text, and what several rules ask of it."""

    text: str
    words: WordCodes

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not empty, without the white space around them."""
        return [line for line in map(str.strip, self.text.split("\n")) if line]

    @cached_property
    def seen_characters(self) -> int:
        """Characters other than white space."""
        return sum(map(len, self.text.split()))

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
    found = len(SYMBOLS.findall(of.text)) / max(1, len(of.words))
    return _above("many symbols", "symbols a word", found, parameters, "max_symbols_per_word")


def bullets(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text most of whose lines begin with a bullet (Gopher: 0.9)."""
    fraction = _line_share(of, lambda line: line.startswith(BULLETS), parameters, "max_bullet_line_fraction")
    return _above(
        "bullets", "of the lines begin with a bullet", fraction, parameters, "max_bullet_line_fraction"
    )


def ellipses(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text many of whose lines end in an ellipsis (Gopher: 0.3)."""
    fraction = _line_share(of, lambda line: line.endswith(ELLIPSES), parameters, "max_ellipsis_line_fraction")
    return _above("ellipses", "of the lines end in one", fraction, parameters, "max_ellipsis_line_fraction")


def stop_words(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text that has too few different ones of eight English words (Gopher: 2)."""
    if parameters["min_stop_words"] is None:
        return None
    (wanted,) = word_codes([STOP_WORDS])
    found = int(np.isin(wanted.codes, of.words.codes).sum())
    return _below("few stop words", "stop words", found, parameters, "min_stop_words")


def repeated_lines(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where too many lines repeat an earlier one; empty lines do not count (Gopher: 0.3)."""
    fraction = 1 - len(set(of.lines)) / len(of.lines) if of.lines else 0.0
    what = f"of {len(of.lines)} lines repeat an earlier one"
    return _above("repeated lines", what, fraction, parameters, "max_repeated_line_fraction")


def repeated_line_characters(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text too much of which stands in lines that repeat an earlier one (Gopher: 0.2, FineWeb: 0.1)."""
    if parameters["max_repeated_line_character_fraction"] is None:
        return None
    characters = sum(map(len, of.lines))
    fraction = 1 - sum(map(len, set(of.lines))) / characters if characters else 0.0
    what = "of the text is lines that repeat an earlier one"
    return _above(
        "repeated line characters", what, fraction, parameters, "max_repeated_line_character_fraction"
    )


def repeated_paragraphs(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text where too many paragraphs repeat an earlier one (Gopher: 0.3)."""
    if parameters["max_repeated_paragraph_fraction"] is None:
        return None
    paragraphs = [one for one in map(str.strip, re.split(r"\n\s*\n", of.text)) if one]
    fraction = 1 - len(set(paragraphs)) / len(paragraphs) if paragraphs else 0.0
    what = f"of {len(paragraphs)} paragraphs repeat an earlier one"
    return _above("repeated paragraphs", what, fraction, parameters, "max_repeated_paragraph_fraction")


def top_ngrams(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text too much of which is its most frequent 2-, 3- or 4-gram (Gopher: 0.20, 0.18, 0.16)."""
    for size, most in zip((2, 3, 4), parameters["max_top_ngram_fractions"] or (), strict=False):
        if len(of.words) < size:
            continue
        grams = runs(of.words.codes, size)
        # Sorting alone is many times as fast as finding out where each came from.
        ordered = np.sort(grams)
        begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        counts = np.diff(begins, append=len(ordered))
        top = int(counts.argmax())
        if counts[top] == 1:
            continue
        first = int(np.argmax(grams == ordered[begins[top]]))
        characters = int(of.words.lengths[first : first + size].sum())
        fraction = int(counts[top]) * characters / max(1, of.word_characters)
        if fraction > most:
            detail = f"{fraction:.3f} of it is one run of {size} words, max_top_ngram_fractions has {most}"
            return Finding(f"top {size}-gram", detail, fraction)
    return None


def repeated_ngrams(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text too much of which stands in runs of 5 to 10 words that occur earlier (Gopher: 0.15 to 0.10)."""
    limits = parameters["max_repeated_ngram_fractions"]
    if not limits:
        return None
    repeated = _repeated_characters(of.words, LEAST_REPEATED_WORDS)
    for size, (most, characters) in enumerate(zip(limits, repeated, strict=False), LEAST_REPEATED_WORDS):
        fraction = characters / max(1, of.word_characters)
        if fraction > most:
            detail = (
                f"{fraction:.3f} of it is runs of {size} words again, max_repeated_ngram_fractions has {most}"
            )
            return Finding(f"repeated {size}-grams", detail, fraction)
    return None


def sentences(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text of too few sentences (C4: 5)."""
    if parameters["min_sentences"] is None:
        return None
    return _below(
        "few sentences", "sentences", len(SENTENCE_END.findall(of.text)), parameters, "min_sentences"
    )


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
    fraction = _line_share(of, lambda line: line.endswith(TERMINAL), parameters, key)
    return _below("unpunctuated lines", "of the lines end in punctuation", fraction, parameters, key)


def short_lines(of: Measured, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text most of whose lines are shorter than 30 characters (FineWeb: 0.67)."""
    key = "max_short_line_fraction"
    fraction = _line_share(of, lambda line: len(line) < SHORT_LINE_CHARACTERS, parameters, key)
    return _above(
        "short lines", f"of the lines are under {SHORT_LINE_CHARACTERS} characters", fraction, parameters, key
    )


RULES: tuple[Rule, ...] = (
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
    top_ngrams,
    repeated_ngrams,
    sentences,
    phrases,
    unpunctuated_lines,
    short_lines,
)


def first_finding(text: str, words: WordCodes, parameters: dict[str, Any]) -> Finding | None:
    """Return what the first rule that objects says, or None."""
    measured = Measured(text, words)
    for rule in RULES:
        if finding := rule(measured, parameters):
            return finding
    return None


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


def _repeated_characters(words: WordCodes, size: int) -> Iterator[int]:
    """Yield the characters in runs of `size` words that occur earlier, then of `size` + 1, until no run does.

    A run can only occur earlier where the one shorter by a word does, so hardly any is looked at in the end.
    """
    count = len(words)
    if count < size:
        return
    grams = runs(words.codes, size)
    ordered = np.sort(grams)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    places = np.flatnonzero(np.isin(grams, several)) if len(several) else np.empty(0, np.int64)
    grams = grams[places]
    while True:
        order = np.argsort(grams, kind="stable")
        same = grams[order[1:]] == grams[order[:-1]]
        again = places[order[1:][same]]
        if not len(again):
            return
        borders: npt.NDArray[np.int64] = np.zeros(count + 1, np.int64)
        borders[again] += 1
        borders[again + size] -= 1
        yield int(words.lengths[np.cumsum(borders[:-1]) > 0].sum())
        members = np.zeros(len(order), np.bool_)
        members[order[1:][same]] = members[order[:-1][same]] = True
        members &= places + size < count
        places = places[members]
        grams = mix(grams[members] + words.codes[places + size])
        size += 1
