"""Gopher's rules on runs of words that repeat, for many texts at once (Rae et al. 2021, arXiv:2112.11446, section A1).

Most texts are far from a limit. How often a run occurs at most, times the characters of the longest run there is, says
so for all texts of a block in one go; only what may be over a limit is counted to the character.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.draft import Finding
from forge.data.shingles import runs
from forge.data.word_codes import Ints, Uint64, WordCodes, mix

TOP_WORDS = (2, 3, 4)
"""Of the runs that `max_top_ngram_fractions` speaks of."""
LEAST_REPEATED_WORDS = 5
"""Of the shortest runs that `max_repeated_ngram_fractions` speaks of."""


def repeated_runs(texts: Sequence[WordCodes], parameters: dict[str, Any]) -> list[Finding | None]:
    """Return for each text why it is set aside, or None.

    Too much of it is its most frequent run of 2, 3 or 4 words (Gopher: 0.20, 0.18, 0.16), or stands in runs of 5 to 10
    words that occur earlier (Gopher: 0.15 to 0.10).
    """
    found: list[Finding | None] = [None] * len(texts)
    # How often the most frequent run of the size before occurs: no longer one occurs more often.
    most = np.array([len(one) for one in texts], np.int64)

    def left(size: int) -> Ints:
        """Return the places of texts in which a run of so many words may occur twice."""
        places = [place for place, one in enumerate(texts) if found[place] is None and len(one) >= size]
        return np.array([place for place in places if most[place] > 1], np.int64)

    for size, limit in zip(TOP_WORDS, parameters["max_top_ngram_fractions"] or (), strict=False):
        places = left(size)
        some = _Runs([texts[place] for place in places], size)
        near = some.share(most[places] * some.longest) > limit
        places = places[near]
        some = _Runs([texts[place] for place in places], size)
        most[places] = some.most
        over = (some.most > 1) & (some.share(some.most * some.longest) > limit)
        for one in np.flatnonzero(over).tolist():
            found[places[one]] = _top(some, one, limit)
    if limits := parameters["max_repeated_ngram_fractions"]:
        places = left(LEAST_REPEATED_WORDS)
        some = _Runs([texts[place] for place in places], LEAST_REPEATED_WORDS)
        for one, finding in _repeated(some, limits).items():
            found[places[one]] = finding
    return found


class _Runs:
    """The runs of `size` words of several texts, each of which has at least one."""

    def __init__(self, texts: Sequence[WordCodes], size: int) -> None:
        self.texts, self.size = texts, size
        counts = np.array([len(one) for one in texts], np.int64)
        starts = np.cumsum(counts) - counts
        self.lengths: Ints = np.concatenate([np.empty(0, np.int64), *(one.lengths for one in texts)])
        """Of all words, one text after the other."""
        sums = np.concatenate([[0], np.cumsum(self.lengths)])
        self.word_characters = sums[starts + counts] - sums[starts]
        # Runs over the border of two texts are counted as well, and left out.
        self.inside: npt.NDArray[np.bool_] = np.ones(max(0, len(sums) - size), np.bool_)
        for back in range(1, size):
            self.inside[starts[1:] - back] = False
        self.offsets: Ints = np.concatenate([[0], np.cumsum(counts - size + 1)])
        """Where the runs of each text begin, and where the last end."""
        self.characters: Ints = (sums[size:] - sums[:-size])[self.inside] if len(texts) else counts

    def share(self, characters: Ints) -> npt.NDArray[np.float64]:
        """Return how much of each text so many characters are."""
        share: npt.NDArray[np.float64] = characters / np.maximum(1, self.word_characters)
        return share

    @property
    def longest(self) -> Ints:
        """The characters of each text's longest run."""
        return _each(np.maximum, self.characters, self.offsets[:-1])

    @cached_property
    def codes(self) -> Uint64:
        """Of all words, one text after the other."""
        return np.concatenate([np.empty(0, np.uint64), *(one.codes for one in self.texts)])

    @cached_property
    def hashes(self) -> Uint64:
        """The runs in order."""
        return runs(self.codes, self.size)[self.inside] if self.texts else self.codes

    @cached_property
    def ordered(self) -> Uint64:
        """The runs, those of each text sorted."""
        ordered = self.hashes.copy()
        for begin, end in itertools.pairwise(self.offsets.tolist()):
            ordered[begin:end].sort()
        return ordered

    @cached_property
    def distinct(self) -> Ints:
        """Where in `ordered` each text's different runs begin."""
        begins = np.ones(len(self.ordered), np.bool_)
        np.not_equal(self.ordered[1:], self.ordered[:-1], out=begins[1:])
        begins[self.offsets[:-1]] = True
        return np.flatnonzero(begins)

    @cached_property
    def counts(self) -> Ints:
        """How often each different run occurs."""
        return np.diff(self.distinct, append=len(self.ordered))

    @cached_property
    def firsts(self) -> Ints:
        """Where in `distinct` each text's begin."""
        return np.searchsorted(self.distinct, self.offsets[:-1])

    @property
    def most(self) -> Ints:
        """How often the most frequent run of each text occurs."""
        return _each(np.maximum, self.counts, self.firsts)


def _each(reduce: np.ufunc, values: Ints, starts: Ints) -> Ints:
    found: Ints = reduce.reduceat(values, starts) if len(starts) else starts
    return found


def _top(some: _Runs, one: int, limit: float) -> Finding | None:
    """Judge a text by the characters of its most frequent run; of several the one with the smallest hash."""
    begin, end = some.offsets[one : one + 2].tolist()
    first = int(some.firsts[one])
    last = int(some.firsts[one + 1]) if one + 1 < len(some.firsts) else len(some.distinct)
    top = first + int(some.counts[first:last].argmax())
    place = begin + int(np.argmax(some.hashes[begin:end] == some.ordered[some.distinct[top]]))
    characters = int(some.characters[place])
    fraction = int(some.counts[top]) * characters / max(1, int(some.word_characters[one]))
    if fraction <= limit:
        return None
    detail = f"{fraction:.3f} of it is one run of {some.size} words, max_top_ngram_fractions has {limit}"
    return Finding(f"top {some.size}-gram", detail, fraction)


def _repeated(some: _Runs, limits: Sequence[float]) -> dict[int, Finding]:
    """Judge texts by the characters in runs that occur earlier, of `some.size` words and then of more.

    A run can only occur earlier where the one shorter by a word does, so hardly any is looked at in the end.
    """
    found: dict[int, Finding] = {}
    size = some.size
    word_counts = np.array([len(one) for one in some.texts], np.int64)
    text_of = np.repeat(np.arange(len(some.texts)), word_counts - size + 1)
    places = np.flatnonzero(some.inside)  # of the first word of each run
    # What is the same in two texts is not to be the same here.
    grams = some.hashes + mix(np.arange(len(some.texts), dtype=np.uint64))[text_of]
    ends = np.cumsum(word_counts)
    for limit in limits:
        several, again = _several(grams, places)
        if not len(again):
            break
        characters = _each(np.add, _covered(again, size, some.lengths), ends - word_counts)
        for one in np.flatnonzero(some.share(characters) > limit).tolist():
            if one not in found:
                fraction = int(characters[one]) / max(1, int(some.word_characters[one]))
                detail = f"{fraction:.3f} of it is runs of {size} words again, max_repeated_ngram_fractions has {limit}"
                found[one] = Finding(f"repeated {size}-grams", detail, fraction)
        longer = several[places[several] + size < ends[text_of[several]]]
        places, text_of, grams = places[longer], text_of[longer], grams[longer]
        grams = mix(grams + some.codes[places + size])
        size += 1
    return found


def _several(grams: Uint64, places: Ints) -> tuple[Ints, Ints]:
    """Return which runs are equal to another, and the places of those that are not the first of their kind."""
    order = np.argsort(grams)
    begins = np.ones(len(order), np.bool_)
    np.not_equal(grams[order[1:]], grams[order[:-1]], out=begins[1:])
    starts = np.flatnonzero(begins)
    counts = np.diff(starts, append=len(order))
    alone = np.zeros(len(order), np.bool_)
    alone[starts[counts == 1]] = True
    alike = order[~alone]
    starts = np.cumsum(counts[counts > 1]) - counts[counts > 1]
    is_one = np.zeros(len(order), np.bool_)
    is_one[alike] = True
    several = np.flatnonzero(is_one)
    is_one[_each(np.minimum, alike, starts)] = False
    return several, places[is_one]


def _covered(again: Ints, size: int, lengths: Ints) -> Ints:
    """Return the characters of each word that is in one of the runs of `size` words that begin at `again`."""
    borders: npt.NDArray[np.int64] = np.zeros(len(lengths) + 1, np.int64)
    borders[again] += 1
    borders[again + size] -= 1
    return np.where(np.cumsum(borders[:-1]) > 0, lengths, 0)
