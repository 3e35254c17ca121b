"""All pairs of sets with a Jaccard of at least t, exactly: a prefix-filter join in NumPy, in bounded memory.

Bayardo, Ma, Srikant, "Scaling up all pairs similarity search" (WWW 2007), with the length, prefix and position filters
of Xiao et al., "Efficient similarity joins for near duplicate detection" (WWW 2008). Elements are ordered rarest first;
two sets that overlap enough share one of their first few elements. Each candidate is then counted exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BLOCK_SETS = 64
"""Sets probed at once: one bit each of a 64-bit word."""
BLOCK_ELEMENTS = 1_000_000
"""Most candidates, or elements of candidates, held at once (8 bytes each, a few arrays)."""
SLACK = 1e-9
"""Bounds are loosened by it, so that floating point never filters out a pair that the final, exact test takes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of set numbers and their Jaccards, arrays of one length."""

    first: Ints
    second: Ints
    jaccard: npt.NDArray[np.float64]
    probed: int
    """Sets that are done with this block, for progress."""


@dataclass(frozen=True, slots=True)
class _Index:
    """The sets, smallest first, elements as ranks (rarest first); those in one set only are dropped, but counted."""

    numbers: Ints
    """[n] place -> the caller's number of the set."""
    sizes: Ints
    """[n] all elements."""
    unique: Ints
    """[n] elements in no other set: they come before the others, and never match."""
    starts: Ints
    """[n + 1] into `elements`."""
    elements: Ints
    """Ranks, ascending within a set."""
    ranks: int


def similar_pairs(sets: Sequence[npt.NDArray[np.uint64]], threshold: float) -> Iterator[Pairs]:
    """Yield, a block of sets at a time, every pair of `sets` with |a & b| / |a | b| >= `threshold`, each pair once.

    Args:
        sets: sorted distinct elements; an empty set is similar to nothing.
        threshold: Jaccard, above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not above 0 and at most 1")
    if not any(len(one) for one in sets):
        return
    index = _build(sets)
    postings = _Postings(index, threshold)
    marks = np.zeros(index.ranks, np.uint64)
    for first in range(0, len(index.sizes), BLOCK_SETS):
        last = min(first + BLOCK_SETS, len(index.sizes))
        keys = postings.candidates(first, last)
        probes, others = np.divmod(keys, len(index.sizes))
        overlaps = _overlaps(index, marks, first, last, probes, others)
        jaccards = overlaps / (index.sizes[probes] + index.sizes[others] - overlaps)
        good = jaccards >= threshold
        yield Pairs(index.numbers[probes[good]], index.numbers[others[good]], jaccards[good], last - first)


def _build(sets: Sequence[npt.NDArray[np.uint64]]) -> _Index:
    all_sizes = np.fromiter((len(one) for one in sets), np.int64, len(sets))
    numbers = np.argsort(all_sizes, kind="stable")
    numbers = numbers[all_sizes[numbers] > 0]
    sizes = all_sizes[numbers]
    flat = np.concatenate([sets[number] for number in numbers])
    _, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    del flat
    shared = counts >= 2
    order = np.argsort(counts[shared], kind="stable")
    rank_of_shared = np.empty(len(order), np.int64)
    rank_of_shared[order] = np.arange(len(order))
    rank_of = np.full(len(counts), -1, np.int64)
    rank_of[shared] = rank_of_shared
    owners = np.repeat(np.arange(len(sizes)), sizes)
    ranks = rank_of[inverse]
    keep = ranks >= 0
    # One sort puts the sets in order and each set's ranks in order.
    keys = np.sort(owners[keep] * max(1, len(order)) + ranks[keep])
    kept = np.bincount(owners[keep], minlength=len(sizes))
    starts = np.concatenate([[0], np.cumsum(kept)])
    return _Index(numbers, sizes, sizes - kept, starts, keys % max(1, len(order)), len(order))


class _Postings:
    """Which sets have an element in their prefix, and where."""

    def __init__(self, index: _Index, threshold: float) -> None:
        self._index = index
        self._threshold = threshold
        sizes = index.sizes
        # A set that meets only sets at least as large may be indexed by fewer of its elements.
        owners, places, ranks = self._prefixes(0, len(sizes), 2 * threshold / (1 + threshold))
        self._keys = ranks * len(sizes) + owners
        order = np.argsort(self._keys)
        self._keys = self._keys[order]
        self._places = places[order]
        self._smallest = np.searchsorted(sizes, threshold * sizes - SLACK)

    def _prefixes(self, first: int, last: int, share: float) -> tuple[Ints, Ints, Ints]:
        """Return (set, place in the set, rank) of the prefix elements of sets `first` to `last`.

        A set of n elements that must share `share` * n of them has one of those among its first
        n - ceil(share * n) + 1.
        """
        index = self._index
        sizes = index.sizes[first:last]
        lengths = sizes - np.ceil(share * sizes - SLACK).astype(np.int64) + 1 - index.unique[first:last]
        lengths = np.clip(lengths, 0, np.diff(index.starts[first : last + 1]))
        owners = np.repeat(np.arange(first, last), lengths)
        places = _within(lengths)
        return owners, places + index.unique[owners], index.elements[index.starts[owners] + places]

    def candidates(self, first: int, last: int) -> Ints:
        """Return the distinct keys `probe * n + other`, other before probe, that no filter rules out, sorted."""
        sizes, count = self._index.sizes, len(self._index.sizes)
        probes, places, ranks = self._prefixes(first, last, self._threshold)
        begins = np.searchsorted(self._keys, ranks * count + self._smallest[probes])
        ends = np.searchsorted(self._keys, ranks * count + probes)
        lengths = np.maximum(ends - begins, 0)
        found = np.empty(0, np.int64)
        for one, end in _chunks(lengths):
            rows = np.repeat(np.arange(one, end), lengths[one:end])
            hits = begins[rows] + _within(lengths[one:end])
            probe = probes[rows]
            other = self._keys[hits] % count
            # The rest of either set after this element bounds what they can still share.
            rest = np.minimum(sizes[probe] - places[rows], sizes[other] - self._places[hits])
            needed = self._threshold / (1 + self._threshold) * (sizes[probe] + sizes[other]) - SLACK
            good = rest >= needed
            # Merged at once: near copies share most of their prefix, and would be found anew by each element.
            found = np.unique(np.concatenate([found, probe[good] * count + other[good]]))
        return found


def _overlaps(
    index: _Index, marks: npt.NDArray[np.uint64], first: int, last: int, probes: Ints, others: Ints
) -> Ints:
    """Count the elements each probe (one of `first` to `last`) shares with its other, int64."""
    for place in range(first, last):
        marks[index.elements[index.starts[place] : index.starts[place + 1]]] |= np.uint64(
            1 << (place - first)
        )
    bits = (probes - first).astype(np.uint64)
    lengths = index.starts[others + 1] - index.starts[others]
    overlaps = np.zeros(len(probes), np.int64)
    for one, end in _chunks(lengths):
        rows = np.repeat(np.arange(one, end), lengths[one:end])
        elements = index.elements[index.starts[others[rows]] + _within(lengths[one:end])]
        shared = (marks[elements] >> bits[rows]) & np.uint64(1)
        overlaps[one:end] = np.bincount(rows - one, weights=shared, minlength=end - one)
    marks[index.elements[index.starts[first] : index.starts[last]]] = 0
    return overlaps


def _within(lengths: Ints) -> Ints:
    """Return 0, 1, ... for each of runs of `lengths`, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths, lengths)


def _chunks(lengths: Ints) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose `lengths` sum to at most BLOCK_ELEMENTS (or of one row)."""
    ends = np.cumsum(lengths)
    one = 0
    while one < len(lengths):
        base = int(ends[one - 1]) if one else 0
        end = max(one + 1, int(np.searchsorted(ends, base + BLOCK_ELEMENTS, side="right")))
        yield one, end
        one = end
