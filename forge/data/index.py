"""The index of a similarity join, in files: which sets have an element among their first ones.

    index.u64     set << 32 | place, 8 bytes for each first element by which a set is found: those of an element
                  together, sets ascending
    entries.i64   of each first element of each set, set after set: how many sets with it may be found << 32 | its
                  place, and where in the index the first of them is
    borders.npy   where the entries of each set begin, and where the last ones end

It is made of parts, each of other elements, that fit into memory. A part is looked at once, and its entries are then
put in the order of the sets, so that all pairs of a set are found at once: whoever joins part by part finds the same
pairs anew in each, and parts grow in number with the data.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from forge.data.prefixes import SLACK, Part, prefix_lengths
from forge.data.sets import Ints, chunks, stable_order

INDEX, ENTRIES, BORDERS = "index.u64", "entries.i64", "borders.npy"
SIZES = "sizes.npy"
"""Sizes of the sets, and the smallest set that is large enough to be like each."""
PLACE = 0xFFFFFFFF

Each = Callable[[Callable[[int], Any], Iterable[int]], Iterator[Any]]
"""`map`, or what does the same on several processes."""


def part_file(folder: Path, part: int, share: int) -> Path:
    """Return where the first elements wait that a share of the sets has in a part."""
    return folder / f"{part}-{share}.part"


def build_index(
    folder: Path, parts: int, shares: int, sizes: Ints, threshold: float, each: Each = map
) -> None:
    """Make the index of sets of these sizes, the smallest first, of the files of their first elements; those go.

    Args:
        folder: where the files are, and the index is to be.
        parts: in which the elements are.
        shares: in which the sets are.
        sizes: of the sets.
        threshold: Jaccard.
        each: carries out the work on the parts, in order.
    """
    smallest = np.searchsorted(sizes, threshold * sizes - SLACK)
    np.save(folder / SIZES, np.stack([sizes, smallest]))
    lengths = []
    with (folder / INDEX).open("wb") as index:
        for part, length in enumerate(
            each(functools.partial(_index_part, folder, shares, threshold), range(parts))
        ):
            lengths.append(length)
            _move(_index_file(folder, part), index)
            for share in range(shares):
                part_file(folder, part, share).unlink(missing_ok=True)
    offsets = np.cumsum(lengths) - lengths
    borders = [np.zeros(1, np.int64)]
    ranges = list(chunks(prefix_lengths(sizes, threshold)))
    merge = functools.partial(_merge_range, folder, offsets, ranges)
    with (folder / ENTRIES).open("wb") as entries:
        for number, counts in enumerate(each(merge, range(len(ranges)))):
            _move(_entries_file(folder, number), entries)
            borders.append(borders[-1][-1] + np.cumsum(counts))
    for part in range(parts):
        _unsorted_file(folder, part).unlink()
    np.save(folder / BORDERS, np.concatenate(borders))


def _index_part(folder: Path, shares: int, threshold: float, part: int) -> int:
    """Index the first elements of one part; return how many the index has of it. In a worker."""
    sizes, smallest = np.asarray(np.load(folder / SIZES, mmap_mode="r"))
    elements, owners, places = Part(*(part_file(folder, part, share) for share in range(shares))).read()
    order = np.argsort(elements)
    elements = elements[order]
    same = elements[1:] == elements[:-1]
    several = np.zeros(len(elements), np.bool_)
    several[1:] = same
    several[:-1] |= same
    order, elements = order[several], elements[several]
    runs = np.cumsum(np.r_[True, elements[1:] != elements[:-1]][: len(elements)]) - 1
    keys, places = runs * len(sizes) + owners[order], places[order]
    by_key = np.argsort(keys)
    keys, places = keys[by_key], places[by_key]
    runs, owners = np.divmod(keys, len(sizes))
    # A set that meets only sets at least as large may be indexed by fewer of its elements.
    indexed = places < prefix_lengths(sizes[owners], 2 * threshold / (1 + threshold))
    (owners[indexed] << 32 | places[indexed]).tofile(_index_file(folder, part))
    begins = np.searchsorted(keys[indexed], runs * len(sizes) + smallest[owners])
    lengths = np.cumsum(indexed) - indexed - begins
    found = lengths > 0
    owners, places, begins, lengths = owners[found], places[found], begins[found], lengths[found]
    by_owner = stable_order(owners)
    rows = np.stack([owners, lengths << 32 | places, begins])
    np.save(_unsorted_file(folder, part), rows[:, by_owner])
    return int(np.count_nonzero(indexed))


def _merge_range(folder: Path, offsets: Ints, ranges: list[tuple[int, int]], number: int) -> Ints:
    """Put the entries of a range of sets in the order of the sets; return how many each has. In a worker."""
    first, last = ranges[number]
    pieces = []
    for part, offset in enumerate(offsets.tolist()):
        rows = np.load(_unsorted_file(folder, part), mmap_mode="r")
        begin, end = np.searchsorted(np.asarray(rows[0]), [first, last])
        piece = np.array(rows[:, begin:end])
        piece[2] += offset
        pieces.append(piece)
    rows = np.concatenate(pieces, axis=1)
    rows[1:].T[stable_order(rows[0])].tofile(_entries_file(folder, number))
    return np.bincount(rows[0] - first, minlength=last - first)


def _move(path: Path, file: BinaryIO) -> None:
    """Append a file to another one."""
    with path.open("rb") as part:
        shutil.copyfileobj(part, file, 1 << 22)
    path.unlink()


def _index_file(folder: Path, part: int) -> Path:
    return folder / f"{part}.index"


def _unsorted_file(folder: Path, part: int) -> Path:
    return folder / f"{part}.npy"


def _entries_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.entries"
