"""Where some elements occur among many sets: one way through the file of them all, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forge.data import sets as stores
from forge.data.prefixes import MOST_COUNTED, cells_of, prefix_lengths
from forge.data.sets import Ints, Sets, stable_order, within
from forge.data.word_codes import Uint64

TABLE_BITS = (20, 26)
"""Least and most, of a table that says whether an element may be wanted: a small one stays in the processor's cache."""


SAMPLE = 8
"""One in so many elements is looked at to tell which of some are rare: a wrong guess costs time and never a pair."""


def occurrences(elements: Uint64, sets: Sets, sample: int = 1) -> Iterator[tuple[Ints, Ints]]:
    """Yield for each time that one of `elements` is in one of `sets`, which element and which set, a block at a time.

    Args:
        elements: sorted, distinct.
        sets: none of them empty; all that lies between them in their file is read as well.
        sample: only one in so many runs of elements is read.
    """
    bits = min(max(len(elements).bit_length() + 3, TABLE_BITS[0]), TABLE_BITS[1])
    table = np.zeros(1 << bits, np.bool_)
    table[cells_of(elements, bits)] = True
    by_start = np.argsort(sets.starts)
    starts, ends = sets.starts[by_start], (sets.starts + sets.counts)[by_start]
    flat = np.asarray(sets.flat)
    width = max(1, stores.BLOCK_ELEMENTS // sample)
    for first in range(0, len(flat), width * sample):
        block = flat[first : first + width]
        hit = np.flatnonzero(table[cells_of(block, bits)])
        found = np.minimum(np.searchsorted(elements, block[hit]), len(elements) - 1)
        true = elements[found] == block[hit]
        hit, found = first + hit[true], found[true]
        owners = np.searchsorted(starts, hit, side="right") - 1
        inside = (owners >= 0) & (hit < ends[owners])
        yield found[inside], by_start[owners[inside]]
        sets.release()


def first_elements(ordered: Sets, first: int, last: int, threshold: float) -> tuple[Uint64, Ints, Ints, Ints]:
    """Return the first elements, those that seem rarest first, of some sets among `ordered`.

    Returns:
        The distinct elements, sorted; where in the next two each of them begins, and where the last ends; whose they
        are; and their places in the sets they are of.
    """
    own = np.arange(first, last)
    sizes = ordered.counts[own]
    elements, names = np.unique(ordered.gather(own), return_inverse=True)
    counts = np.zeros(len(elements), np.int64)
    for found, _ in occurrences(elements, ordered, SAMPLE):
        counts += np.bincount(found, minlength=len(elements))
    owners = np.repeat(np.arange(len(own)), sizes)
    order = stable_order(owners << 16 | np.minimum(counts[names], MOST_COUNTED))
    places = within(sizes)
    chosen = places < prefix_lengths(sizes, threshold)[owners]
    names, owners, places = names[order[chosen]], owners[chosen] + first, places[chosen]
    by_name = stable_order(names)
    names, owners, places = names[by_name], owners[by_name], places[by_name]
    begins = np.flatnonzero(np.diff(names, prepend=-1))
    return elements[names[begins]], np.append(begins, len(names)), owners, places
