"""Which sets have an element: an index of all elements of some sets, kept from one corpus to the next.

    elements.json           the segments, oldest first: number, sets, and where each part begins and the last ends
    elements-<n>.u64        of each element of each set of a segment 32 bits of its hash << 32 | the number of the set,
                            8 bytes; in as many parts as first bits of the hash tell apart, each sorted
    elements-<n>.sets.npy   (n, 2) uint64: the hash that each set is known by

New sets become a segment of their own beside those of the corpus before, whose files are linked. A segment that is not
many times as large as a new one becomes part of it, so that there are few; a set that is gone stays in its segment
until half of all are. What lies in which segment hangs on what came before; what is found does not.

Two elements that share the bits that are kept are taken for one: whoever looks something up checks what was found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from forge.data.digests import Digests
from forge.data.sets import Ints, Sets, chunks, stable_order
from forge.data.word_codes import Uint64
from forge.files import link_or_copy, replace_text

LISTING = "elements.json"
PART_ENTRIES = 1 << 21
"""About, sorted at once: so few that hardly two elements of a part share 32 bits of their hash."""
TIMES_LARGER = 4
"""Of a segment, what it has to be to stay beside a new one."""
HASH = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that different elements have different hashes."""
SET = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Segment:
    """Some sets and their elements."""

    number: int
    borders: tuple[int, ...]
    """Of the parts, 2^k of them."""
    digests: Uint64
    """(n, 2), of each set."""

    @property
    def entries(self) -> int:
        """Elements of all sets."""
        return self.borders[-1]


@dataclass(frozen=True, slots=True)
class Hits:
    """Where some elements are in a segment."""

    entries: Uint64
    begins: Ints
    """Of the entries of each element."""
    ends: Ints
    places: Ints
    """Of each set of the segment, among those that are looked for; -1 where it is not one of them."""

    def owners(self, at: Ints) -> Ints:
        """Return the places of the sets of some entries; -1 as above."""
        return self.places[(self.entries[at] & SET).astype(np.int64)]


class Elements:
    """The index in a folder."""

    def __init__(self, folder: Path, earlier: Path | None = None) -> None:
        """Open the index in `folder`; where it has none that is whole, start with that of `earlier`."""
        self._folder = folder
        self.segments: list[Segment] = []
        if (folder / LISTING).exists() or earlier is None:
            self.segments = _listed(folder) or []
        elif (segments := _listed(earlier)) is not None:
            for path in files_of(earlier):
                link_or_copy(path, folder / path.name)
            self.segments = segments

    def add(self, sets: Sets, digests: Digests) -> None:
        """Make sure that all of some different sets that are not empty are in the index."""
        missing = sets.counts > 0
        places = [digests.find(segment.digests) for segment in self.segments]
        for own in places:
            missing[own[own >= 0]] = False
        if not missing.any():
            return
        kept = list(self.segments)
        if 2 * int(sets.counts.sum()) < sum(segment.entries for segment in kept):
            # Most of what is there is gone: all that is not is written anew.
            kept, missing = [], sets.counts > 0
        while kept and kept[-1].entries <= TIMES_LARGER * int(sets.counts[missing].sum()):
            own = places[len(kept) - 1]
            missing[own[own >= 0]] = True
            kept.pop()
        # In the order of their hashes, in which they are looked up soonest.
        self._replace(kept, sets, digests.keys, digests.order[missing[digests.order]])

    def _replace(self, kept: list[Segment], sets: Sets, keys: Uint64, chosen: Ints) -> None:
        """Put a segment of the sets at some places in the place of those that are not `kept`."""
        number = 1 + max((segment.number for segment in self.segments), default=-1)
        gone = [segment.number for segment in self.segments if segment not in kept]
        own = np.ascontiguousarray(keys[chosen])
        borders = _write_entries(_entries_file(self._folder, number), sets.take(chosen))
        with _sets_file(self._folder, number).open("wb") as file:
            np.save(file, own)
        self.segments = [*kept, Segment(number, borders, own)]
        listing = [{"number": one.number, "borders": one.borders} for one in self.segments]
        replace_text(self._folder / LISTING, json.dumps(listing))
        for old in gone:
            for path in (_entries_file(self._folder, old), _sets_file(self._folder, old)):
                path.unlink(missing_ok=True)

    def find(self, hashes: Uint64, digests: Digests) -> list[Hits]:
        """Return where elements are, segment by segment.

        Args:
            hashes: of the elements, `element * HASH`, sorted.
            digests: of the sets that are looked for.
        """
        found = []
        for segment in self.segments:
            entries = np.asarray(np.memmap(_entries_file(self._folder, segment.number), np.uint64, "r"))
            begins, ends = (np.empty(len(hashes), np.int64) for _ in range(2))
            parts = len(segment.borders) - 1
            borders = np.searchsorted(_part_of(hashes, parts), np.arange(parts + 1)).tolist()
            keys = _keys(hashes, parts)
            for part in range(parts):
                first, last = segment.borders[part : part + 2]
                own = slice(borders[part], borders[part + 1])
                begins[own], ends[own] = _spans(entries[first:last], keys[own])
                begins[own] += first
                ends[own] += first
            found.append(Hits(entries, begins, ends, digests.find(segment.digests)))
        return found


def files_of(folder: Path) -> list[Path]:
    """Return the files of the index in a folder, the listing last."""
    segments = _listed(folder) or []
    files = [file(folder, segment.number) for segment in segments for file in (_entries_file, _sets_file)]
    return [*files, folder / LISTING] if segments else []


def _listed(folder: Path) -> list[Segment] | None:
    """Return the segments in a folder; None where one of them is not whole."""
    try:
        found = []
        for one in json.loads((folder / LISTING).read_text(encoding="utf-8")):
            digests = np.load(_sets_file(folder, one["number"]))
            found.append(Segment(int(one["number"]), tuple(map(int, one["borders"])), digests))
            if _entries_file(folder, one["number"]).stat().st_size != 8 * found[-1].entries:
                return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return found


def _write_entries(path: Path, sets: Sets) -> tuple[int, ...]:
    """Write the entries of sets, numbered as they come; return where each part begins, and where the last ends."""
    total = int(sets.counts.sum())
    parts = 1 << max(0, (total - 1) // PART_ENTRIES).bit_length()
    waiting = [path.with_name(f".{path.name}.{part}") for part in range(parts)]
    files: list[BinaryIO] = [one.open("wb") for one in waiting]
    for first, last in chunks(sets.counts):
        hashes = sets.gather(np.arange(first, last)) * HASH
        owners = np.repeat(np.arange(first, last, dtype=np.uint64), sets.counts[first:last])
        entries = _keys(hashes, parts) | owners
        numbers = _part_of(hashes, parts)
        order = stable_order(numbers) if parts > 1 else np.arange(len(hashes))
        borders = np.searchsorted(numbers[order], np.arange(parts + 1)).tolist()
        for part, file in enumerate(files):
            entries[order[borders[part] : borders[part + 1]]].tofile(file)
    borders = [0]
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as whole:
        for one, file in zip(waiting, files, strict=True):
            file.close()
            own = np.fromfile(one, np.uint64)
            own.sort()
            own.tofile(whole)
            borders.append(borders[-1] + len(own))
            one.unlink()
    beside.replace(path)
    return tuple(borders)


def _part_of(hashes: Uint64, parts: int) -> Ints:
    """Return the part that each hash is in."""
    bits = parts.bit_length() - 1
    return (hashes >> np.uint64(64 - bits)).astype(np.int64) if bits else np.zeros(len(hashes), np.int64)


def _spans(entries: Uint64, keys: Uint64) -> tuple[Ints, Ints]:
    """Return where the entries of each of sorted keys begin and end."""
    begins = np.searchsorted(entries, keys)
    ends = begins.copy()
    # Most elements are in one set or in two.
    more = np.flatnonzero(begins < len(entries))
    for _ in range(2):
        more = more[(entries[ends[more]] & ~SET) == keys[more]]
        ends[more] += 1
        more = more[ends[more] < len(entries)]
    more = more[(entries[ends[more]] & ~SET) == keys[more]]
    ends[more] = np.searchsorted(entries, keys[more] | SET, side="right")
    return begins, ends


def _keys(hashes: Uint64, parts: int) -> Uint64:
    """Return the bits of each hash that are kept in a part, where an entry has them."""
    kept: npt.NDArray[np.uint64] = hashes << np.uint64(parts.bit_length() - 1)
    return kept & ~SET


def _entries_file(folder: Path, number: int) -> Path:
    return folder / f"elements-{number}.u64"


def _sets_file(folder: Path, number: int) -> Path:
    return folder / f"elements-{number}.sets.npy"
