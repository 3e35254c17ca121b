"""Which texts are the same, and which are nearly: an exact join of shingle sets.

When there are too many shingles all sets are thinned alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.duplicates import Pair, levelled, related_pairs
from forge.data.shingles import Shingler
from forge.data.versions import RELATED_JACCARD, Kinship
from forge.progress import Progress

SHINGLE_WORDS = 5
NEAR_JACCARD = 0.8
MOST_SHINGLES = 24_000_000
"""Held at once, 8 bytes each; about 150 MB of text. Beyond, every second, fourth, ... shingle is kept, by its value."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Uint64 = npt.NDArray[np.uint64]


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
        first = self._first_of.setdefault(levelled([text])[0], number)
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

    def pairs(self, kin: Kinship, progress: Progress) -> list[Pair]:
        """Return the pairs that matter, of first copies only.

        They are all of `kin` with a Jaccard of at least RELATED_JACCARD; and of the others with at least NEAR_JACCARD
        as many as hold together what hangs together, the closest of each block.
        """
        numbers = np.fromiter(self._sets, np.int64, len(self._sets))
        together = Components(len(numbers))

        def wanted(one: Ints, other: Ints, jaccard: Floats) -> npt.NDArray[np.bool_]:
            kept = kin(numbers[one], numbers[other])
            close = np.flatnonzero((jaccard >= NEAR_JACCARD) & ~kept)
            kept[close[_joining(together, one[close], other[close], jaccard[close])]] = True
            return kept

        found = related_pairs(list(self._sets.values()), RELATED_JACCARD, wanted, progress)
        return [Pair(int(numbers[pair.first]), int(numbers[pair.second]), pair.jaccard) for pair in found]


def _joining(together: Components, one: Ints, other: Ints, jaccard: Floats) -> Ints:
    """Join the pairs; return the places of those that joined what was apart, the closest first."""
    names = together.names().copy() if len(one) else np.empty(0, np.int64)
    apart = np.flatnonzero(names[one] != names[other])
    heads: dict[int, int] = {}

    def head(name: int) -> int:
        while (above := heads.get(name, name)) != name:
            heads[name] = name = heads.get(above, above)
        return name

    joining = []
    for place in apart[np.argsort(-jaccard[apart], kind="stable")].tolist():
        a, b = sorted((head(int(names[one[place]])), head(int(names[other[place]]))))
        if a != b:
            heads[b] = a
            joining.append(place)
    places = np.array(joining, np.int64)
    together.join(one[places], other[places])
    return places
