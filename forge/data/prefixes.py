"""The first elements of sets, rarest first: two sets that overlap enough share one of them.

How rare an element is comes from a table of counters that elements are hashed into: elements that share a counter seem
more frequent than they are, which costs time and never a pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data import sets as stores
from forge.data.sets import Ints, Sets, chunks, stable_order, within
from forge.data.word_codes import Uint64

PART_POSTINGS = 2_000_000
"""Most first elements joined at once: each process takes about 80 bytes for each of them while it sorts them."""
COUNTER_BITS = (12, 25)
"""Least and most: 2^25 counters are 64 MB."""
MOST_COUNTED = 65_535
SLACK = 1e-9
"""Bounds are loosened by it, so that floating point never filters out a pair that the final, exact test takes."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How often elements are in some sets, or more often, in a table that they are hashed into."""

    table: npt.NDArray[np.uint16]
    bits: int

    def of(self, elements: Uint64) -> Ints:
        """Return how often each element is counted, at most MOST_COUNTED."""
        return self.table[cells_of(elements, self.bits)].astype(np.int64)


def count_elements(sets: Sets) -> Counters:
    """Count the elements of `sets` and of all sets that lie with them: good for any choice of those."""
    flat = np.asarray(sets.flat)
    bits = min(max(len(flat).bit_length() + 1, COUNTER_BITS[0]), COUNTER_BITS[1])
    counters = np.zeros(1 << bits, np.uint16)
    for first in range(0, len(flat), stores.BLOCK_ELEMENTS):
        # Sorted, they go through the table from its begin to its end: several times as fast as here and there.
        cells = np.sort(cells_of(flat[first : first + stores.BLOCK_ELEMENTS], bits).astype(np.uint32))
        begins = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
        met = cells[begins]
        counters[met] = np.minimum(counters[met] + np.diff(begins, append=len(cells)), MOST_COUNTED)
        sets.release()
    return Counters(counters, bits)


class Part:
    """First elements of sets: (element, set, place of the element in the set's order), sets ascending."""

    def __init__(self, *paths: Path) -> None:
        """Args: `paths` are where they wait, in order; without, they are kept in memory, to be read once."""
        self._paths = paths
        self._pieces: list[npt.NDArray[np.uint64]] = []

    def append(self, elements: Uint64, owners: Ints, places: Ints) -> None:
        """Add first elements, to the last file."""
        piece = np.stack([elements, (owners << 32 | places).astype(np.uint64)], axis=1)
        if not self._paths:
            self._pieces.append(piece)
        else:
            with self._paths[-1].open("ab") as file:
                file.write(piece.tobytes())

    def read(self) -> tuple[Uint64, Ints, Ints]:
        """Return them all."""
        waiting = [np.fromfile(path, np.uint64).reshape(-1, 2) for path in self._paths if path.exists()]
        rows = np.concatenate([*waiting, *self._pieces, np.empty((0, 2), np.uint64)])
        self._pieces = []
        packed = rows[:, 1].astype(np.int64)
        return rows[:, 0].copy(), packed >> 32, packed & 0xFFFFFFFF


def part_count(sizes: Ints, threshold: float) -> int:
    """Return in how many parts the first elements of sets of these sizes are joined."""
    return max(1, -(-int(prefix_lengths(sizes, threshold).sum()) // PART_POSTINGS))


def fill_parts(
    ordered: Sets,
    threshold: float,
    counters: Counters,
    parts: list[Part],
    begin: int = 0,
    end: int | None = None,
) -> None:
    """Put the first elements of the sets from `begin` to `end` into parts, all of an element into one."""
    lengths = prefix_lengths(ordered.counts, threshold)
    for first, last in ((begin + one, begin + two) for one, two in chunks(ordered.counts[begin:end])):
        elements = ordered.gather(np.arange(first, last))
        sizes = ordered.counts[first:last]
        owners = np.repeat(np.arange(last - first), sizes)
        counted = counters.of(elements)
        # An element that was counted once is in no other set: it comes before all others, and never matches.
        shared = np.flatnonzero(counted > 1)
        unique = sizes - np.bincount(owners[shared], minlength=last - first)
        order = stable_order(owners[shared] << 16 | counted[shared])
        kept = shared[order]
        own = sizes - unique
        places = within(own) + unique[owners[kept]]
        chosen = places < lengths[first:last][owners[kept]]
        kept, places = kept[chosen], places[chosen]
        part_of = cells_of(elements[kept], 32) % len(parts)
        for number, part in enumerate(parts):
            mine = part_of == number if len(parts) > 1 else slice(None)
            part.append(elements[kept][mine], first + owners[kept][mine], places[mine])


def prefix_lengths(sizes: Ints, share: float) -> Ints:
    """Return how many first elements count: a set of n that must share `share` * n has one of those among them."""
    lengths: Ints = sizes - np.ceil(share * sizes - SLACK).astype(np.int64) + 1
    return lengths


def cells_of(elements: Uint64, bits: int) -> Ints:
    """Return `bits` bits of a hash of each element."""
    return ((elements * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)).astype(np.int64)
