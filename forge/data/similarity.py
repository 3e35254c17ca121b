"""All pairs of sets with a Jaccard of at least t, exactly: a prefix-filter join in NumPy, in bounded memory.

Bayardo, Ma, Srikant, "Scaling up all pairs similarity search" (WWW 2007), with the length, prefix and position filters
of Xiao et al., "Efficient similarity joins for near duplicate detection" (WWW 2008). Elements are ordered rarest first;
two sets that overlap enough share one of their first few elements. Each candidate is then counted exactly.

The first elements of all sets are indexed a part of the elements at a time, in files. All that follows takes the sets
in their order and finds each pair once, so that it grows with the sets and what they share.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data import sets as stores
from forge.data.components import Components
from forge.data.index import build_index, part_file
from forge.data.overlaps import verified
from forge.data.postings import BLOCK_SETS, Postings
from forge.data.prefixes import (
    Counters,
    Part,
    count_elements,
    fill_parts,
    part_count,
)
from forge.data.sets import Ints, Sets
from forge.data.word_codes import Uint64

WIDE = 8
"""Blocks of probes that are looked up at once where they have few candidates."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of set numbers and their Jaccards, arrays of one length."""

    first: Ints
    second: Ints
    jaccard: npt.NDArray[np.float64]
    probed: int
    """Sets that are done with this block, for progress."""


def similar_pairs(
    sets: Sequence[Uint64],
    threshold: float,
    together: Components | None = None,
    counters: Counters | None = None,
) -> Iterator[Pairs]:
    """Yield, a block of sets at a time, every pair of `sets` with |a & b| / |a | b| >= `threshold`, each pair once.

    Args:
        sets: sorted distinct elements; an empty set is similar to nothing. `Sets` in a file are read as needed.
        threshold: Jaccard, above 0 and at most 1.
        together: what hangs together so far; the caller joins each pair that is yielded before asking for the next.
            Pairs of sets that hang together already are left out. A set is compared with one other first, then with
            more and more of those it is still apart from: one of thousands alike is compared with one or two of them.
        counters: of the elements, where they were counted before.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not above 0 and at most 1")
    store = sets if isinstance(sets, Sets) else Sets.of(sets)
    numbers = probing_order(store)
    if not len(numbers):
        return
    ordered = store.take(numbers)
    count = part_count(ordered.counts, threshold)
    with tempfile.TemporaryDirectory(prefix="forge-near-") as name:
        folder = Path(name)
        parts = [Part(part_file(folder, part, 0)) for part in range(count)]
        fill_parts(ordered, threshold, counters or count_elements(store), parts)
        build_index(folder, count, 1, ordered.counts, threshold)
        postings = Postings(folder, ordered.counts, threshold)
        for keys, jaccards, done in probe(ordered, postings, threshold, numbers, together):
            ones, others = np.divmod(keys, len(ordered))
            yield Pairs(numbers[ones], numbers[others], jaccards, done)


def probing_order(sets: Sets) -> Ints:
    """Return the places of the sets that are not empty, the smallest first."""
    numbers = np.argsort(sets.counts, kind="stable")
    return numbers[sets.counts[numbers] > 0]


def probe(
    ordered: Sets,
    postings: Postings,
    threshold: float,
    numbers: Ints,
    together: Components | None,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[Ints, npt.NDArray[np.float64], int]]:
    """Yield the keys `probe * n + other` of similar pairs, their Jaccards, and how many probes are done with them.

    Args:
        ordered: sets, the smallest first.
        postings: of them.
        threshold: Jaccard.
        numbers: what each set is called in `together`.
        together: as `similar_pairs` has it.
        share: (k, n): of n shares of the probes, the one that is meant.
    """
    for candidates, probed in _blocks(postings, ordered.counts, numbers, together, share):
        for keys, last in rounds(candidates, numbers, together):
            yield *verified(ordered, keys, threshold), probed if last else 0


def _blocks(
    postings: Postings,
    sizes: Ints,
    numbers: Ints,
    together: Components | None,
    share: tuple[int, int],
) -> Iterator[tuple[Ints, int]]:
    """Yield candidates, sorted keys of at most BLOCK_SETS different probes, and how many sets are done with them.

    Most sets have no candidate: a block of probes takes as many sets as it needs.
    """
    waiting: list[Ints] = []
    probes = elements = probed = 0
    for first, last, crowded in _ranges(postings, len(sizes), share, together is not None):
        keys = np.empty(0, np.int64) if crowded else postings.candidates(first, last)
        own, begins = np.unique(keys // len(sizes), return_index=True)
        for place in range(0, max(1, len(own)), BLOCK_SETS):
            some = own[place : place + BLOCK_SETS]
            own_elements = int(sizes[some].sum())
            many = probes + len(some) > BLOCK_SETS or elements + own_elements > stores.BLOCK_ELEMENTS
            if crowded or many:
                yield np.concatenate([*waiting, np.empty(0, np.int64)]), probed
                waiting, probes, elements, probed = [], 0, 0, 0
            end = begins[place + BLOCK_SETS] if place + BLOCK_SETS < len(own) else len(keys)
            waiting.append(keys[begins[place] : end] if len(own) else keys)
            probes, elements = probes + len(some), elements + own_elements
        if crowded:
            assert together is not None
            nearest = postings.nearest(first, last)
            yield nearest, 0
            others = postings.apart(first, last, lambda places: together.roots(numbers[places]))
            yield others[~np.isin(others, nearest, assume_unique=True)], last - first
            continue
        probed += last - first
    yield np.concatenate([*waiting, np.empty(0, np.int64)]), probed


def _ranges(
    postings: Postings, count: int, share: tuple[int, int], may_crowd: bool
) -> Iterator[tuple[int, int, bool]]:
    """Yield ranges of probes that are looked up together, and whether that is in another way: they are crowded."""
    wide = BLOCK_SETS * WIDE
    for start in range(share[0] * wide, count, share[1] * wide):
        stop = min(start + wide, count)
        if not postings.crowded(start, stop):
            yield start, stop, False
            continue
        for first in range(start, stop, BLOCK_SETS):
            last = min(first + BLOCK_SETS, stop)
            yield first, last, may_crowd and postings.crowded(first, last)


def rounds(keys: Ints, numbers: Ints, together: Components | None) -> Iterator[tuple[Ints, bool]]:
    """Yield sorted candidates a few at a time, and whether these are the last; at least once."""
    if together is None:
        yield keys, True
        return
    most = 1
    while len(keys):
        ones, others = np.divmod(keys, len(numbers))
        still = together.apart(numbers[ones], numbers[others])
        keys, ones = keys[still], ones[still]
        # Of each probe the last ones: they are nearest to it in size.
        chosen = np.searchsorted(ones, ones, side="right") - np.arange(len(ones)) <= most
        yield keys[chosen], False
        keys = keys[~chosen]
        most *= 4
    yield keys, True
