"""Which sets have an element among their first ones: where the candidates of a similarity join are looked up."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np

from forge.data import sets as stores
from forge.data.index import BORDERS, ENTRIES, INDEX, PLACE
from forge.data.prefixes import SLACK
from forge.data.sets import Ints, chunks, distinct, ranges

BLOCK_SETS = 64
"""Sets probed at once: one bit each of a 64-bit word."""
CROWD = 16
"""Sets that have an element, on average over the first elements of some probes, from which on they are too many."""
OFTEN = 4
"""Times that a pair of sets would be found, on average over some probes, from which on it is not looked for."""
MOST_STEPS = 24


class Postings:
    """Which sets have an element among their first, and where: the index that `forge.data.index` makes."""

    def __init__(self, folder: Path, sizes: Ints, threshold: float) -> None:
        """Args: `folder` has the index of sets of `sizes`; it is read as needed."""
        self._sizes, self._threshold = sizes, threshold
        self._index = _mapped(folder / INDEX)
        self._entries = _mapped(folder / ENTRIES).reshape(-1, 2)
        self._borders = np.asarray(np.load(folder / BORDERS, mmap_mode="r"))
        self._listed_since = 0
        self.forget()

    def forget(self) -> None:
        """Start anew with what hangs together."""
        # An entry leads to the one before it, or past some more, which hang together with it. Those of the element
        # before are none to stop at: whoever looks for sets knows where theirs begin.
        self._past = np.zeros(len(self._index), np.int32)

    def candidates(self, first: int, last: int) -> Ints:
        """Return the distinct keys `probe * n + other`, other before probe, that no filter rules out, sorted."""
        probes, places, begins, ends = self._looked_up(first, last)
        crowd = self._crowd(last - first, begins, ends)
        if crowd is None:
            return self._listed(probes, places, begins, ends)
        probes = np.arange(first, last)
        least = np.searchsorted(self._sizes, self._threshold * self._sizes[probes] - SLACK)
        starts = np.searchsorted(crowd, least)
        lengths = np.searchsorted(crowd, probes) - starts
        others = crowd[ranges(starts, lengths)]
        return np.asarray(np.repeat(probes, lengths) * len(self._sizes) + others)

    def _crowd(self, probes: int, begins: Ints, ends: Ints) -> Ints | None:
        """Return all sets that have an element of some probes, sorted; None where most would be of few of them.

        Probes made of one form have the same elements, each of which the same thousands have, and nearly all pairs
        would be listed once for each of the elements. To count what they share takes less.
        """
        entries = int((ends - begins).sum())
        if entries < CROWD * len(begins):
            return None
        order = np.argsort(begins)
        reach = np.maximum.accumulate(ends[order])
        begins = np.maximum(begins[order], np.r_[0, reach[:-1]])
        lengths = reach - begins
        if int(lengths.sum()) * OFTEN > entries:
            return None
        found = np.empty(0, np.int64)
        for one, end in chunks(lengths):
            some = lengths[one:end]
            found = distinct(np.r_[found, self._owners(ranges(begins[one:end], some))])
        return found if len(found) * probes * OFTEN <= entries else None

    def crowded(self, first: int, last: int) -> bool:
        """Return whether the elements of these probes are on average in so many sets that not all are to be listed."""
        _, _, begins, ends = self._looked_up(first, last)
        return int((ends - begins).sum()) > CROWD * len(begins)

    def nearest(self, first: int, last: int) -> Ints:
        """Return of `candidates` for each element of a probe only the one nearest in size."""
        probes, places, begins, ends = self._looked_up(first, last)
        return self._listed(probes, places, np.maximum(begins, ends - 1), ends)

    def apart(self, first: int, last: int, roots: Callable[[Ints], Ints]) -> Ints:
        """Return those of `candidates` that do not hang together with their probe.

        An entry that hangs together with its neighbours before it leads past all of them, so that thousands of sets
        made of one form are passed in a step. After a few steps the rest is listed.
        """
        probes, places, begins, ends = self._looked_up(first, last)
        self._lead_on(probes, ends, roots)
        at, own = ends - 1, roots(probes)
        walking = np.flatnonzero(at >= begins)
        found = []
        for _ in range(MOST_STEPS):
            if not len(walking):
                break
            hits = at[walking]
            same = roots(self._owners(hits)) == own[walking]
            met, here = walking[~same], hits[~same]
            found.append(self._listed(probes[met], places[met], here, here + 1))
            at[walking] = hits - 1 - np.where(same, self._past[hits], 0)
            walking = walking[at[walking] >= begins[walking]]
        rest = self._listed(probes[walking], places[walking], begins[walking], at[walking] + 1)
        ones, others = np.divmod(rest, len(self._sizes))
        return distinct(np.concatenate([*found, rest[roots(ones) != roots(others)]]))

    def _lead_on(self, probes: Ints, ends: Ints, roots: Callable[[Ints], Ints]) -> None:
        """Lead from the entries of probes past those before them that hang together with them."""
        if not len(self._index):
            return
        mine = np.minimum(ends, len(self._index) - 1)
        is_mine = self._owners(mine) == probes
        mine, own = mine[is_mine], roots(probes[is_mine])
        for _ in range(BLOCK_SETS.bit_length()):
            leads = mine - 1 - self._past[mine]
            same = leads >= 0
            same[same] = roots(self._owners(leads[same])) == own[same]
            if not same.any():
                break
            self._past[mine[same]] += 1 + self._past[leads[same]]

    def _owners(self, at: Ints) -> Ints:
        return self._index[at] >> 32

    def _looked_up(self, first: int, last: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Return for each first element of some probes: the probe, its place, and the entries of sets before it."""
        rows = self._entries[self._borders[first] : self._borders[last]]
        probes = np.repeat(np.arange(first, last), np.diff(self._borders[first : last + 1]))
        begins = rows[:, 1]
        return probes, rows[:, 0] & PLACE, begins, begins + (rows[:, 0] >> 32)

    def _listed(self, probes: Ints, places: Ints, begins: Ints, ends: Ints) -> Ints:
        """Return the distinct keys of entries from `begins` to `ends` that no filter rules out, sorted."""
        sizes, count = self._sizes, len(self._sizes)
        lengths = ends - begins
        found = np.empty(0, np.int64)
        for one, end in chunks(lengths):
            rows = np.repeat(np.arange(one, end), lengths[one:end])
            hits = ranges(begins[one:end], lengths[one:end])
            probe = probes[rows]
            entries = self._index[hits]
            other, other_places = entries >> 32, entries & PLACE
            # The rest of either set after this element bounds what they can still share.
            rest = np.minimum(sizes[probe] - places[rows], sizes[other] - other_places)
            needed = self._threshold / (1 + self._threshold) * (sizes[probe] + sizes[other]) - SLACK
            good = rest >= needed
            # Merged at once: near copies share most of their prefix, and would be found anew by each element.
            found = distinct(np.concatenate([found, probe[good] * count + other[good]]))
        self._release(int(lengths.sum()))
        return found

    def _release(self, listed: int) -> None:
        """Give back the memory of what was read of the files, once that is much; it is read again when needed."""
        self._listed_since += listed
        if self._listed_since > stores.BLOCK_ELEMENTS:
            self._listed_since = 0
            for mapped in (self._index, self._entries.base):
                if isinstance(mapped, np.memmap):
                    mapped._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _mapped(path: Path) -> Ints:
    # An empty file cannot be mapped.
    return np.memmap(path, np.int64, "r") if path.stat().st_size else np.empty(0, np.int64)
