"""The first elements of sets, rarest first: two sets that overlap enough share one of them.

How rare an element is comes from tables that elements are hashed into: elements that share a cell seem more frequent
than they are, which costs time and never a pair.
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
"""Most first elements sorted at once: each process takes about 80 bytes for each of them meanwhile."""
CELL_BITS = (12, 30)
"""Least and most: a bit for each of twice to four times as many cells as there are elements, up to 128 MB."""
COUNTER_BITS = (12, 25)
"""Least and most: 2^25 counters are 64 MB."""
SEVERAL, TABLE = "several.npy", "counters.npy"
MOST_COUNTED = 65_535
SLACK = 1e-9
"""Bounds are loosened by it, so that floating point never filters out a pair that the final, exact test takes."""
SECOND_HASH = np.uint64(0xD6E8FEB86659FD93)
"""Odd: elements that share a cell share no counter for it."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How often elements are in some sets, or more often: elements that share a cell seem to be one.

    Most elements are in one set alone. A bit each tells that, in a table that grows with them; counters are left for
    those that may be in several, so that the rarest are still told apart where there are many times more elements than
    counters.
    """

    several: npt.NDArray[np.uint8]
    """A bit for each cell: an element was met there more than once."""
    table: npt.NDArray[np.uint16]
    """How often the elements of such cells were met, in cells of another hash."""
    folder: Path | None = None
    """Where they lie in files."""

    def of(self, elements: Uint64) -> Ints:
        """Return how often each element is counted, at most MOST_COUNTED."""
        counts = np.ones(len(elements), np.int64)
        again = np.flatnonzero(_may_be_in_several(self.several, elements))
        counts[again] = self.table[_counter_of(elements[again], self.table)]
        return counts


def write_counters(counters: Counters, folder: Path) -> Counters:
    """Write counters to a folder; return them as `read_counters` does."""
    np.save(folder / SEVERAL, counters.several)
    np.save(folder / TABLE, counters.table)
    return read_counters(folder)


def read_counters(folder: Path) -> Counters:
    """Return the counters in a folder, mapped: a process has what it looks at in memory, and no more."""
    several, table = (np.asarray(np.load(folder / name, mmap_mode="r")) for name in (SEVERAL, TABLE))
    return Counters(several, table, folder)


def count_elements(sets: Sets) -> Counters:
    """Count the elements of `sets` and of all sets that lie with them: good for any choice of those."""
    flat = np.asarray(sets.flat)
    several = _met_again(sets, flat)
    bits = min(max(len(flat).bit_length(), COUNTER_BITS[0]), COUNTER_BITS[1])
    counters = np.zeros(1 << bits, np.uint16)
    for first in range(0, len(flat), stores.BLOCK_ELEMENTS):
        block = flat[first : first + stores.BLOCK_ELEMENTS]
        # Sorted, they go through the table from its begin to its end: several times as fast as here and there.
        again = block[_may_be_in_several(several, block)]
        met, times = _runs(np.sort(_counter_of(again, counters).astype(np.uint32)))
        counters[met] = np.minimum(counters[met] + times, MOST_COUNTED)
        sets.release()
    return Counters(several, counters)


def _met_again(sets: Sets, flat: Uint64) -> npt.NDArray[np.uint8]:
    """Return a bit for each cell: an element was met there more than once."""
    bits = min(max(len(flat).bit_length() + 1, CELL_BITS[0]), CELL_BITS[1])
    once = np.zeros(1 << (bits - 3), np.uint8)
    several = np.zeros(1 << (bits - 3), np.uint8)
    for first in range(0, len(flat), stores.BLOCK_ELEMENTS):
        cells = cells_of(flat[first : first + stores.BLOCK_ELEMENTS], bits)
        met, times = _runs(np.sort(cells.astype(np.uint32)))
        places, masks = met >> np.uint32(3), np.uint8(1) << (met & np.uint32(7)).astype(np.uint8)
        again = (times > 1) | ((once[places] & masks) != 0)
        _set_bits(several, places[again], masks[again])
        _set_bits(once, places, masks)
        sets.release()
    return several


def _set_bits(
    bitmap: npt.NDArray[np.uint8], places: npt.NDArray[np.uint32], masks: npt.NDArray[np.uint8]
) -> None:
    """Set bits of a bitmap; `places` are sorted."""
    if len(places):
        begins = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
        bitmap[places[begins]] |= np.bitwise_or.reduceat(masks, begins)


def _runs(cells: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], Ints]:
    """Return the distinct ones of sorted cells, and how often each is there."""
    begins = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]][: len(cells)])
    return cells[begins], np.diff(begins, append=len(cells))


def _may_be_in_several(several: npt.NDArray[np.uint8], elements: Uint64) -> npt.NDArray[np.bool_]:
    cells = cells_of(elements, (8 * len(several)).bit_length() - 1)
    return np.asarray((several[cells >> 3] >> (cells & 7).astype(np.uint8)) & 1 != 0)


def _counter_of(elements: Uint64, table: npt.NDArray[np.uint16]) -> Ints:
    return cells_of(elements * SECOND_HASH, len(table).bit_length() - 1)


class Part:
    """First elements of sets: (element, set, place of the element in the set's order), sets ascending."""

    def __init__(self, *paths: Path) -> None:
        """Args: `paths` are the files where they wait, in order."""
        self._paths = paths

    def append(self, elements: Uint64, owners: Ints, places: Ints) -> None:
        """Add first elements, to the last file."""
        piece = np.stack([elements, (owners << 32 | places).astype(np.uint64)], axis=1)
        with self._paths[-1].open("ab") as file:
            file.write(piece.tobytes())

    def read(self) -> tuple[Uint64, Ints, Ints]:
        """Return them all."""
        waiting = [np.fromfile(path, np.uint64).reshape(-1, 2) for path in self._paths if path.exists()]
        rows = np.concatenate([*waiting, np.empty((0, 2), np.uint64)])
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
        chosen = places < prefix_lengths(sizes, threshold)[owners[kept]]
        kept, places = kept[chosen], places[chosen]
        # In order of their parts, and still of their sets: looking for each part's anew would take time that grows with
        # the square of the data.
        part_of = cells_of(elements[kept], 32) % len(parts)
        by_part = stable_order(part_of)
        borders = np.searchsorted(part_of[by_part], np.arange(len(parts) + 1))
        for number, part in enumerate(parts):
            mine = by_part[borders[number] : borders[number + 1]]
            part.append(elements[kept[mine]], first + owners[kept[mine]], places[mine])


def prefix_lengths(sizes: Ints, share: float) -> Ints:
    """Return how many first elements count: a set of n that must share `share` * n has one of those among them."""
    lengths: Ints = sizes - np.ceil(share * sizes - SLACK).astype(np.int64) + 1
    return lengths


def sizes_alike(sizes: Ints, threshold: float) -> tuple[Ints, Ints]:
    """Return the least and the most elements of a set that has a Jaccard of `threshold` with one of each size."""
    least = np.ceil(threshold * sizes - SLACK).astype(np.int64)
    most = np.floor(sizes / threshold + SLACK).astype(np.int64)
    return least, most


def cells_of(elements: Uint64, bits: int) -> Ints:
    """Return `bits` bits of a hash of each element."""
    return ((elements * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)).astype(np.int64)
