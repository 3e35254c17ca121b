"""How many elements sets share, counted exactly: a block of sets against any number of others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge.data.bit_counts import BitCounts
from forge.data.prefixes import cells_of
from forge.data.sets import Ints, Sets, chunks, ranges, stable_order
from forge.data.word_codes import Uint64

MARK_BITS = 20
"""Most: the tables of a block stay in the processor's cache."""
SPARSE_BITS = 3
"""A block's table has eight to sixteen cells an element."""

MANY_PROBES = 4
"""Of a block, that other sets are held against on average, from which on marks are counted for all of it at once."""


def verified(ordered: Sets, keys: Ints, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Return which candidate keys, of at most BLOCK_SETS probes, are similar, and their Jaccards."""
    if not len(keys):
        return keys, np.empty(0)
    probes, others = np.divmod(keys, len(ordered))
    distinct, names = np.unique(probes, return_inverse=True)
    overlaps = Block(ordered, distinct).overlaps(names, others)
    jaccards = overlaps / (ordered.counts[probes] + ordered.counts[others] - overlaps)
    similar = jaccards >= threshold
    return keys[similar], jaccards[similar]


class Block:
    """A few sets, at most 64, and which of them has an element: a bit each, in a hash table of their elements."""

    def __init__(self, ordered: Sets, block: Ints) -> None:
        self._ordered = ordered
        elements = ordered.gather(block)
        bits = np.repeat(np.uint64(1) << np.arange(len(block), dtype=np.uint64), ordered.counts[block])
        self._bits = min(max(len(elements).bit_length() + SPARSE_BITS, 1), MARK_BITS)
        cells = cells_of(elements, self._bits)
        # Where there is no mark nobody looks at the name.
        self._names = np.empty(1 << self._bits, np.uint64)
        self._names[cells] = elements
        self._marks = np.zeros(1 << self._bits, np.uint64)
        # Of several elements that fall on one cell the last has it, and the others are looked up in a sorted list.
        owns = self._names[cells] == elements
        np.bitwise_or.at(self._marks, cells[owns], bits[owns])
        self._crowded, places = np.unique(elements[~owns], return_inverse=True)
        self._crowded_marks = np.zeros(len(self._crowded), np.uint64)
        np.bitwise_or.at(self._crowded_marks, places, bits[~owns])

    def overlaps(self, probes: Ints, others: Ints) -> Ints:
        """Count the elements that each probe, by its number in this block, shares with its other set."""
        distinct, names = np.unique(others, return_inverse=True)
        overlaps = np.zeros(len(probes), np.int64)
        by_other = stable_order(names)
        borders = np.searchsorted(names[by_other], np.arange(len(distinct) + 1))
        lengths = self._ordered.counts[distinct]
        for one, end in chunks(lengths):
            marks, ends = self._marks_of(distinct[one:end])
            pairs = by_other[borders[one] : borders[end]]
            own = names[pairs] - one
            starts, counts = ends[own], ends[own + 1] - ends[own]
            if int(counts.sum()) > MANY_PROBES * len(marks):
                overlaps[pairs] = BitCounts(marks, np.diff(ends)).of(own, probes[pairs])
                continue
            shifts = probes[pairs].astype(np.uint64)
            for begin, stop in chunks(counts):
                some = counts[begin:stop]
                shared = marks[ranges(starts[begin:stop], some)]
                shared >>= np.repeat(shifts[begin:stop], some)
                shared &= np.uint64(1)
                sums = np.zeros(len(shared) + 1, np.int64)
                # Of another type it would be copied, which takes ten times as long.
                np.cumsum(shared.view(np.int64), out=sums[1:])
                stops = np.cumsum(some)
                overlaps[pairs[begin:stop]] = sums[stops] - sums[stops - some]
        return overlaps

    def _marks_of(self, places: Ints) -> tuple[Uint64, Ints]:
        """Return the marks of those elements of sets that have any, set by set, and where each set's end."""
        elements = self._ordered.gather(places)
        cells = cells_of(elements, self._bits)
        marks = self._marks[cells]
        hits = np.flatnonzero(marks != 0)
        elements, marks = elements[hits], marks[hits]
        others = np.flatnonzero(self._names[cells[hits]] != elements)
        marks[others] = self._mark_of_crowded(elements[others])
        ends = np.concatenate([[0], np.cumsum(self._ordered.counts[places])])
        return marks, np.searchsorted(hits, ends)

    def _mark_of_crowded(self, elements: Uint64) -> Uint64:
        if not len(self._crowded):
            return np.zeros(len(elements), np.uint64)
        places = np.minimum(np.searchsorted(self._crowded, elements), len(self._crowded) - 1)
        return np.where(self._crowded[places] == elements, self._crowded_marks[places], np.uint64(0))
