"""Which of some sets have an element, in a file: looked up in a few steps an element, and never read whole.

The file has parts, one for each value of the first bits of an element's hash; in each, one after the other, uint32:

    directory   2^k + 1: for each value of the next k bits the place of the first element that has it
    elements    32 bits of the hash after those that tell the part, distinct and sorted
    ends        of each element: where in `owners` those of it end
    owners      the numbers of the sets that have the element, ascending

Two elements that share the bits that are kept are taken for one: whoever looks something up checks what was found.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from forge.data.parities import parities_of
from forge.data.sets import Ints, Sets, chunks, ranges, stable_order
from forge.data.word_codes import Uint64

Uint32 = npt.NDArray[np.uint32]

PART_ENTRIES = 1 << 21
"""About, sorted at once: so few that hardly two elements of a part share 32 bits of their hash."""
HASH = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that different elements have different hashes."""
RUN_BITS = 1
"""Two to four elements share an entry of the directory."""
OWNER = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of the file has."""

    elements: int
    """Different ones."""
    owners: int
    """Over all elements."""

    @property
    def directory_bits(self) -> int:
        """Of a hash, what the directory goes by."""
        return max(0, self.elements.bit_length() - 1 - RUN_BITS)

    @property
    def length(self) -> int:
        """Numbers in the file."""
        return (1 << self.directory_bits) + 1 + 2 * self.elements + self.owners


@dataclass(frozen=True, slots=True)
class Found:
    """Where some elements are in a file: the owners of element i are `numbers[begins[i] : ends[i]]`."""

    numbers: Uint32
    begins: Ints
    ends: Ints


def write_elements(path: Path, parities: Path, sets: Sets) -> tuple[Part, ...]:
    """Write the elements of sets, numbered as they come, and their parities to a file of their own; return what the
    parts have.
    """
    total = int(sets.counts.sum())
    parts = 1 << max(0, (total - 1) // PART_ENTRIES).bit_length()
    waiting = [path.with_name(f".{path.name}.{part}") for part in range(parts)]
    files: list[BinaryIO] = [one.open("wb") for one in waiting]
    parities.unlink(missing_ok=True)
    for first, last in chunks(sets.counts):
        hashes = sets.gather(np.arange(first, last)) * HASH
        with parities.open("ab") as words:
            parities_of(hashes, sets.counts[first:last]).tofile(words)
        entries = _kept(hashes, parts) << np.uint64(32)
        entries |= np.repeat(np.arange(first, last, dtype=np.uint64), sets.counts[first:last])
        numbers = _part_of(hashes, parts)
        order = stable_order(numbers) if parts > 1 else np.arange(len(hashes))
        borders = np.searchsorted(numbers[order], np.arange(parts + 1)).tolist()
        for part, file in enumerate(files):
            entries[order[borders[part] : borders[part + 1]]].tofile(file)
    written = []
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as whole:
        for one, file in zip(waiting, files, strict=True):
            file.close()
            written.append(_write_part(whole, np.fromfile(one, np.uint64)))
            one.unlink()
    beside.replace(path)
    return tuple(written)


def _write_part(file: BinaryIO, entries: Uint64) -> Part:
    entries.sort()
    elements = (entries >> np.uint64(32)).astype(np.uint32)
    last = np.flatnonzero(np.r_[elements[1:] != elements[:-1], True][: len(elements)])
    elements = elements[last]
    part = Part(len(elements), len(entries))
    tops = np.arange((1 << part.directory_bits) + 1, dtype=np.uint64) << np.uint64(32 - part.directory_bits)
    directory = np.searchsorted(elements, tops[:-1].astype(np.uint32))
    for column in (directory, [len(elements)], elements, last + 1, entries & OWNER):
        np.asarray(column).astype(np.uint32).tofile(file)
    return part


def look_up(path: Path, parts: tuple[Part, ...], hashes: Uint64) -> Found:
    """Return where elements are in a file.

    Args:
        path: what `write_elements` wrote.
        parts: what it returned.
        hashes: of the elements, `element * HASH`, sorted.
    """
    mapped = np.memmap(path, np.uint32, "r")
    numbers = np.asarray(mapped)
    begins, ends = (np.empty(len(hashes), np.int64) for _ in range(2))
    borders = np.searchsorted(_part_of(hashes, len(parts)), np.arange(len(parts) + 1)).tolist()
    wanted = _kept(hashes, len(parts)).astype(np.uint32)
    first = 0
    for number, part in enumerate(parts):
        own = slice(borders[number], borders[number + 1])
        begins[own], ends[own] = _spans(numbers[first : first + part.length], part, wanted[own])
        first += part.length
        begins[own] += first - part.owners
        ends[own] += first - part.owners
        # What was read goes out of this process's memory again.
        mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
    return Found(numbers, begins, ends)


def _spans(numbers: Uint32, part: Part, wanted: Uint32) -> tuple[Ints, Ints]:
    """Return where the owners of each of sorted elements begin and end in those of a part."""
    directory = (1 << part.directory_bits) + 1
    elements = numbers[directory : directory + part.elements]
    runs = (wanted.astype(np.int64) << part.directory_bits) >> 32
    low = numbers[runs].astype(np.int64)
    lengths = numbers[runs + 1] - low
    at, rows = ranges(low, lengths), np.repeat(np.arange(len(wanted)), lengths)
    hits = np.flatnonzero(elements[at] == wanted[rows])
    found, there = at[hits], rows[hits]
    ends = numbers[directory + part.elements : directory + 2 * part.elements]
    begin, end = (np.zeros(len(wanted), np.int64) for _ in range(2))
    end[there] = ends[found]
    begin[there] = np.where(found > 0, ends[found - 1], 0)
    return begin, end


def _part_of(hashes: Uint64, parts: int) -> Ints:
    """Return the part that each hash is in."""
    bits = parts.bit_length() - 1
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def _kept(hashes: Uint64, parts: int) -> Uint64:
    """Return the 32 bits of each hash that are kept in a part."""
    kept: Uint64 = (hashes << np.uint64(parts.bit_length() - 1)) >> np.uint64(32)
    return kept
