"""A document as a set of numbers: one for each run of `shingle_words` words in it."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import numpy.typing as npt

Uint64 = npt.NDArray[np.uint64]

# splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.
MIX_1, MIX_2, MIX_3 = (
    np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class Shingler:
    """Turns word lists into shingle sets that can be compared with each other (and only with each other).

    Words are numbered, so no two are confused. A run of words is a 64-bit hash: among 30 million different ones the
    chance that any two collide is 2e-5, and a collision moves a Jaccard by one shingle.
    """

    def __init__(self, shingle_words: int) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(itertools.count(1).__next__)
        self._shingle_words = shingle_words

    def shingles(self, words: list[str]) -> Uint64:
        """Return the sorted distinct shingles of `words`, uint64; of a shorter text one, of all its words."""
        numbers = self._numbers
        codes = np.fromiter((numbers[word] for word in words), np.uint64, len(words))
        if not len(words):
            return codes
        width = min(self._shingle_words, len(words))
        count = len(words) - width + 1
        hashes = np.full(count, width, np.uint64)
        for place in range(width):
            hashes = _mix(hashes + _mix(codes[place : place + count]))
        return np.unique(hashes)


def _mix(values: Uint64) -> Uint64:
    values = values + MIX_1
    values = (values ^ (values >> np.uint64(30))) * MIX_2
    values = (values ^ (values >> np.uint64(27))) * MIX_3
    return values ^ (values >> np.uint64(31))
