"""Which sets have an element: an index of all elements of some sets, kept from one corpus to the next.

    elements.json           the segments, oldest first: number, and what each part of its file has
    elements-<n>.u32        the elements of the sets of a segment (`forge.data.element_file`)
    elements-<n>.parities.u64   (n, 8) uint64: a bound of what two sets share (`forge.data.parities`)
    elements-<n>.sets.npy   (n, 2) uint64: the hash that each set is known by

New sets become a segment of their own beside those of the corpus before, whose files are linked. A segment that is not
many times as large as a new one becomes part of it, so that there are few; a set that is gone stays in its segment
until half of all are. What lies in which segment hangs on what came before; what is found does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forge.data.digests import Digests
from forge.data.element_file import Found, Part, Uint32, look_up, write_elements
from forge.data.parities import WORDS
from forge.data.sets import Ints, Sets
from forge.data.word_codes import Uint64
from forge.files import link_or_copy, replace_text

LISTING = "elements.json"
TIMES_LARGER = 4
"""Of a segment, what it has to be to stay beside a new one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Some sets and their elements."""

    number: int
    parts: tuple[Part, ...]
    """Of its file, 2^k of them."""
    digests: Uint64
    """(n, 2), of each set."""

    @property
    def entries(self) -> int:
        """Elements of all sets."""
        return sum(part.owners for part in self.parts)


@dataclass(frozen=True, slots=True)
class Hits:
    """Where some elements are in a segment."""

    found: Found
    places: Ints
    """Of each set of the segment, among those that are looked for; -1 where it is not one of them."""

    @property
    def begins(self) -> Ints:
        """Of the entries of each element."""
        return self.found.begins

    @property
    def ends(self) -> Ints:
        """Of the entries of each element."""
        return self.found.ends

    def numbers(self, at: Ints) -> Uint32:
        """Return the numbers, in the segment, of the sets of some entries."""
        return self.found.numbers[at]


class Elements:
    """The index in a folder."""

    def __init__(self, folder: Path, earlier: Path | None = None) -> None:
        """Open the index in `folder`; where it has none that is whole, start with that of `earlier`."""
        self._folder = folder
        self.segments: list[Segment] = []
        self._placed: tuple[Digests, list[Ints]] | None = None
        self._looked_up: tuple[Uint64, list[Found]] = np.empty(0, np.uint64), []
        if (folder / LISTING).exists() or earlier is None:
            self.segments = _listed(folder) or []
        elif (segments := _listed(earlier)) is not None:
            for path in files_of(earlier):
                link_or_copy(path, folder / path.name)
            self.segments = segments

    def add(self, sets: Sets, digests: Digests) -> None:
        """Make sure that all of some different sets that are not empty are in the index."""
        missing = sets.counts > 0
        places = self._places(digests)
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
        chosen = digests.order[missing[digests.order]]
        self._replace(kept, sets, digests.keys, chosen)
        self._placed = digests, [*places[: len(kept)], chosen]
        self._looked_up = np.empty(0, np.uint64), []

    def _places(self, digests: Digests) -> list[Ints]:
        """Return the places of the sets of each segment among some; -1 where a set is not one of them."""
        if self._placed is None or self._placed[0] is not digests:
            self._placed = digests, [digests.find(segment.digests) for segment in self.segments]
        return self._placed[1]

    def _replace(self, kept: list[Segment], sets: Sets, keys: Uint64, chosen: Ints) -> None:
        """Put a segment of the sets at some places in the place of those that are not `kept`."""
        number = 1 + max((segment.number for segment in self.segments), default=-1)
        gone = [segment.number for segment in self.segments if segment not in kept]
        own = np.ascontiguousarray(keys[chosen])
        files = _elements_file(self._folder, number), _parities_file(self._folder, number)
        parts = write_elements(*files, sets.take(chosen))
        with _sets_file(self._folder, number).open("wb") as file:
            np.save(file, own)
        self.segments = [*kept, Segment(number, parts, _digests_in(self._folder, number))]
        listing = [
            {"number": one.number, "parts": [(part.elements, part.owners) for part in one.parts]}
            for one in self.segments
        ]
        replace_text(self._folder / LISTING, json.dumps(listing))
        for old in gone:
            for path in _files(self._folder, old):
                path.unlink(missing_ok=True)

    def find(self, hashes: Uint64, digests: Digests) -> list[Hits]:
        """Return where elements are, segment by segment.

        Args:
            hashes: of the elements, `element * HASH`, sorted.
            digests: of the sets that are looked for.
        """
        found = self._found_before(hashes)
        if found is None:
            found = [
                look_up(_elements_file(self._folder, segment.number), segment.parts, hashes)
                for segment in self.segments
            ]
            self._looked_up = hashes, found
        return [Hits(one, places) for one, places in zip(found, self._places(digests), strict=True)]

    def _found_before(self, hashes: Uint64) -> list[Found] | None:
        """Return where elements are, if they were all looked up last time: joins are of some of the same sets."""
        known, found = self._looked_up
        places = np.searchsorted(known, hashes)
        if not len(known) or places.max(initial=0) == len(known) or (known[places] != hashes).any():
            return None
        return [Found(one.numbers, one.begins[places], one.ends[places]) for one in found]

    def parities(self, digests: Digests) -> Callable[[Ints], Uint64]:
        """Return what gives the parities, (n, WORDS), of sets at some places among those of `digests`, all of which are
        in the index.
        """
        segments = []
        for segment, places in zip(self.segments, self._places(digests), strict=True):
            numbers = np.full(len(digests), -1, np.int64)
            here = np.flatnonzero(places >= 0)
            numbers[places[here]] = here
            words = np.memmap(_parities_file(self._folder, segment.number), np.uint64, "r")
            segments.append((numbers, np.asarray(words).reshape(-1, WORDS)))

        def of(places: Ints) -> Uint64:
            found = np.zeros((len(places), WORDS), np.uint64)
            for numbers, words in segments:
                own = numbers[places]
                here = np.flatnonzero(own >= 0)
                found[here] = words[own[here]]
            return found

        return of


def files_of(folder: Path) -> list[Path]:
    """Return the files of the index in a folder, the listing last."""
    segments = _listed(folder) or []
    files = [path for segment in segments for path in _files(folder, segment.number)]
    return [*files, folder / LISTING] if segments else []


def _listed(folder: Path) -> list[Segment] | None:
    """Return the segments in a folder; None where one of them is not whole."""
    try:
        found = []
        for one in json.loads((folder / LISTING).read_text(encoding="utf-8")):
            digests = _digests_in(folder, one["number"])
            parts = tuple(Part(int(elements), int(owners)) for elements, owners in one["parts"])
            found.append(Segment(int(one["number"]), parts, digests))
            size_bytes = 4 * sum(part.length for part in parts)
            if _elements_file(folder, one["number"]).stat().st_size != size_bytes:
                return None
            if _parities_file(folder, one["number"]).stat().st_size != 8 * WORDS * len(digests):
                return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return found


def _digests_in(folder: Path, number: int) -> Uint64:
    return np.asarray(np.load(_sets_file(folder, number), mmap_mode="r"))


def _files(folder: Path, number: int) -> tuple[Path, ...]:
    return _elements_file(folder, number), _parities_file(folder, number), _sets_file(folder, number)


def _parities_file(folder: Path, number: int) -> Path:
    return folder / f"elements-{number}.parities.u64"


def _elements_file(folder: Path, number: int) -> Path:
    return folder / f"elements-{number}.u32"


def _sets_file(folder: Path, number: int) -> Path:
    return folder / f"elements-{number}.sets.npy"
