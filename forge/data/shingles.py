"""A document as a set of numbers: one for each run of `shingle_words` words in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from forge.data.sets import chunks
from forge.data.word_codes import Uint64, WordCodes, mix_in_place, word_codes

BLOCK_WORDS = 1 << 15
"""Texts worked on at once: their hashes stay in the processor's cache."""


def shingles(codes: Uint64, shingle_words: int) -> Uint64:
    """Return the sorted distinct shingles of a text's word codes; of a shorter text one, of all its words.

    A run of words is a 64-bit hash: among 30 million different ones the chance that any two collide is 2e-5, and a
    collision moves a Jaccard by one shingle.
    """
    return _distinct(runs(codes, shingle_words))


def shingle_sets(texts: Sequence[WordCodes], shingle_words: int) -> Iterator[Uint64]:
    """Yield the shingles of each of `texts`, which is faster than one at a time."""
    for first, last in chunks(np.array([len(one) for one in texts], np.int64), BLOCK_WORDS):
        # Runs over the border of two texts are hashed as well, and left out.
        hashes = runs(np.concatenate([one.codes for one in texts[first:last]]), shingle_words)
        start = 0
        for one in texts[first:last]:
            count = len(one) - shingle_words + 1
            yield _distinct(
                hashes[start : start + count].copy() if count > 0 else runs(one.codes, shingle_words)
            )
            start += len(one)


def _distinct(hashes: Uint64) -> Uint64:
    """Sort in place; return the distinct ones."""
    hashes.sort()
    distinct = np.empty(len(hashes), np.bool_)
    distinct[:1] = True
    np.not_equal(hashes[1:], hashes[:-1], out=distinct[1:])
    return hashes[distinct]


def runs(codes: Uint64, width: int) -> npt.NDArray[np.uint64]:
    """Return the hash of each run of `width` words in order (of all words where there are fewer)."""
    if not len(codes):
        return np.empty(0, np.uint64)
    width = min(width, len(codes))
    count = len(codes) - width + 1
    hashes = np.full(count, width, np.uint64)
    scratch = np.empty(count, np.uint64)
    for place in range(width):
        hashes += codes[place : place + count]
        mix_in_place(hashes, scratch)
    return hashes


class Shingler:
    """Turns lists of words into shingle sets that can be compared with each other."""

    def __init__(self, shingle_words: int) -> None:
        self._shingle_words = shingle_words

    def shingles(self, words: list[str]) -> Uint64:
        """Return the sorted distinct shingles of `words`, which `split_words` returned."""
        (found,) = word_codes([" ".join(words)])
        return shingles(found.codes, self._shingle_words)
