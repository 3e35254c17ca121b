"""Which texts are the same, and which are nearly: an exact join of shingle sets.

When there are too many shingles all sets are thinned alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.duplicates import levelled
from forge.data.shingles import Shingler
from forge.data.similarity import similar_pairs
from forge.progress import Progress

SHINGLE_WORDS = 5
NEAR_JACCARD = 0.8
RELATED_JACCARD = 0.5
"""Pairs from here on may be versions of each other."""
MOST_SHINGLES = 24_000_000
"""Held at once, 8 bytes each; about 150 MB of text. Beyond, every second, fourth, ... shingle is kept, by its value."""

Uint64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents, the first the one with the smaller number, neither an exact copy of an earlier one."""

    first: int
    second: int
    jaccard: float


class Fingerprints:
    """Takes documents one by one; then tells which are alike. Memory is bounded by MOST_SHINGLES and the documents."""

    def __init__(self, most_shingles: int = MOST_SHINGLES) -> None:
        self._most_shingles = most_shingles
        self._shingler = Shingler(SHINGLE_WORDS)
        self._first_of: dict[bytes, int] = {}
        self._copies: dict[int, list[int]] = {}
        self._sets: dict[int, Uint64] = {}
        self._held = 0
        self.one_in = 1
        """Of how many shingles one is kept; 1: Jaccards are exact."""

    def add(self, number: int, text: str, words: list[str]) -> None:
        """Take document `number`."""
        first = self._first_of.setdefault(levelled(text), number)
        if first != number:
            self._copies.setdefault(first, [first]).append(number)
            return
        one = self._thin(self._shingler.shingles(words))
        self._sets[number] = one
        self._held += len(one)
        while self._held > self._most_shingles:
            self.one_in *= 2
            self._sets = {key: self._thin(value) for key, value in self._sets.items()}
            self._held = sum(map(len, self._sets.values()))

    def _thin(self, shingles: Uint64) -> Uint64:
        return shingles[shingles & np.uint64(self.one_in - 1) == 0] if self.one_in > 1 else shingles

    def exact_groups(self) -> list[list[int]]:
        """Return the documents that share a text, case and white space aside; groups of two or more."""
        return [self._copies[first] for first in sorted(self._copies)]

    def jaccard(self, one: int, other: int) -> float:
        """Return the Jaccard of two documents that are no exact copies of earlier ones."""
        a, b = self._sets.get(one), self._sets.get(other)
        if a is None or b is None or not len(a) or not len(b):
            return 0.0
        shared = len(np.intersect1d(a, b, assume_unique=True))
        return shared / (len(a) + len(b) - shared)

    def pairs(self, progress: Progress) -> list[Pair]:
        """Return every pair with a Jaccard of at least RELATED_JACCARD, first copies only.

        Of documents with the very same shingles each is paired with the first of them, and that one with the others.
        """
        firsts: dict[bytes, int] = {}
        found: list[Pair] = []
        numbers: list[int] = []
        for number, one in self._sets.items():
            digest = hashlib.sha256(one.tobytes()).digest() if len(one) else number.to_bytes(8, "little")
            first = firsts.setdefault(digest, number)
            if first == number:
                numbers.append(number)
            else:
                found.append(Pair(first, number, 1.0))
        progress.start(len(numbers), "documents")
        for block in similar_pairs([self._sets[number] for number in numbers], RELATED_JACCARD):
            for a, b, jaccard in zip(
                block.first.tolist(), block.second.tolist(), block.jaccard.tolist(), strict=True
            ):
                one, two = sorted((numbers[a], numbers[b]))
                found.append(Pair(one, two, jaccard))
            progress.advance(block.probed)
        return sorted(found, key=lambda pair: (pair.first, pair.second))


def clusters(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Return the groups that hang together by `pairs`, each sorted, in the order of their first members."""
    places = {
        number: place for place, number in enumerate(sorted({number for pair in pairs for number in pair}))
    }
    components = Components(len(places))
    if pairs:
        components.join(
            np.array([places[one] for one, _ in pairs]), np.array([places[two] for _, two in pairs])
        )
    groups: dict[int, list[int]] = {}
    names = components.names().tolist() if places else []
    for number, name in zip(places, names, strict=True):
        groups.setdefault(int(name), []).append(number)
    return list(groups.values())
