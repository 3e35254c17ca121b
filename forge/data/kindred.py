"""Which documents that share a name or a title are alike: their sets are held against each other, group by group.

A join of all with all would find mostly pairs that share neither, and nobody asks for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from forge.data.sets import Sets
from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]

BLOCK_ROWS = 1 << 16
"""Different elements of a group that are counted at once: 4 bytes for each and for each of its sets."""


def kindred_pairs(sets: Sets, codes: Sequence[Ints], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Yield (place, place, Jaccard) of the pairs of sets that share a code and have at least `threshold`, each once.

    Args:
        sets: of each document.
        codes: arrays of a code for each document; -1 shares none. At most versions.MANY_OF_A_NAME have the same.
        threshold: Jaccard, above 0.
    """
    for number, own in enumerate(codes):
        for group in _groups(own, sets.counts, threshold):
            for one, other, jaccard in _alike(sets, group, threshold):
                # Found in an earlier column already?
                if not any(earlier[one] == earlier[other] >= 0 for earlier in codes[:number]):
                    yield one, other, jaccard


def _groups(codes: Ints, counts: Ints, threshold: float) -> Iterator[Ints]:
    """Yield the places that share a code, parted where one set is too much larger than the next for any to be alike."""
    order = np.lexsort((counts, codes))
    order = order[(codes[order] >= 0) & (counts[order] > 0)]
    parted = (codes[order[1:]] != codes[order[:-1]]) | (counts[order[:-1]] < threshold * counts[order[1:]])
    for group in np.split(order, np.flatnonzero(parted) + 1):
        if len(group) > 1:
            yield np.sort(group)


def _alike(sets: Sets, group: Ints, threshold: float) -> Iterator[tuple[int, int, float]]:
    sizes = sets.counts[group]
    shared = _shared(sets.gather(group), np.repeat(np.arange(len(group)), sizes), len(group))
    jaccards = shared / (sizes[:, None] + sizes[None, :] - shared)
    for one, other in zip(*np.nonzero(np.triu(jaccards >= threshold, 1)), strict=True):
        yield int(group[one]), int(group[other]), float(jaccards[one, other])


def _shared(elements: Uint64, owners: Ints, count: int) -> npt.NDArray[np.float64]:
    """Return how many elements each pair of `count` sets shares, (count, count)."""
    _, names = np.unique(elements, return_inverse=True)
    shared = np.zeros((count, count))
    order = np.argsort(names, kind="stable")
    names, owners = names[order], owners[order]
    for first in range(0, int(names[-1]) + 1, BLOCK_ROWS):
        begin, end = np.searchsorted(names, [first, first + BLOCK_ROWS])
        # Counts up to 2^16 are exact in float32, and their products are what BLAS is quick at.
        marks = np.zeros((min(BLOCK_ROWS, int(names[-1]) + 1 - first), count), np.float32)
        marks[names[begin:end] - first, owners[begin:end]] = 1
        shared += marks.T @ marks
    return shared
