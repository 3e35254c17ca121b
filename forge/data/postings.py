"""Which sets have an element among their first ones: where the candidates of a similarity join are looked up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forge.data.prefixes import SLACK, prefix_lengths
from forge.data.sets import Ints, chunks, stable_order, within
from forge.data.word_codes import Uint64

BLOCK_SETS = 64
"""Sets probed at once: one bit each of a 64-bit word."""
CROWD = 16
"""Sets that have an element, on average over the first elements of some probes, from which on they are too many."""
MOST_STEPS = 24


class Postings:
    """Which sets have an element among their first, and where."""

    def __init__(self, elements: Uint64, owners: Ints, places: Ints, sizes: Ints, threshold: float) -> None:
        self._sizes, self._threshold = sizes, threshold
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
        # A set that meets only sets at least as large may be indexed by fewer of its elements.
        owners = keys % len(sizes)
        indexed = places < prefix_lengths(sizes, 2 * threshold / (1 + threshold))[owners]
        self._keys, self._places = keys[indexed], places[indexed]
        self.forget()
        by_owner = stable_order(owners)
        self._probe_keys, self._probe_places = keys[by_owner], places[by_owner]
        self._borders = np.searchsorted(owners[by_owner], np.arange(len(sizes) + 1))
        self._smallest = np.searchsorted(sizes, threshold * sizes - SLACK)

    def forget(self) -> None:
        """Start anew with what hangs together."""
        # Where an entry leads: to the one before it in its run, or past some; -1 is before the first.
        begins_run = np.diff(self._keys // len(self._sizes), prepend=-1) != 0
        self._leads = np.where(begins_run, -1, np.arange(len(self._keys)) - 1)

    def candidates(self, first: int, last: int) -> Ints:
        """Return the distinct keys `probe * n + other`, other before probe, that no filter rules out, sorted."""
        probes, places, begins, ends = self._looked_up(first, last)
        return self._listed(probes, places, begins, ends)

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
            same = roots(self._keys[hits] % len(self._sizes)) == own[walking]
            met, here = walking[~same], hits[~same]
            found.append(self._listed(probes[met], places[met], here, here + 1))
            at[walking] = np.where(same, self._leads[hits], hits - 1)
            walking = walking[at[walking] >= begins[walking]]
        rest = self._listed(probes[walking], places[walking], begins[walking], at[walking] + 1)
        ones, others = np.divmod(rest, len(self._sizes))
        return np.unique(np.concatenate([*found, rest[roots(ones) != roots(others)]]))

    def _lead_on(self, probes: Ints, ends: Ints, roots: Callable[[Ints], Ints]) -> None:
        """Lead from the entries of probes past those before them that hang together with them."""
        if not len(self._keys):
            return
        mine = np.minimum(ends, len(self._keys) - 1)
        is_mine = self._keys[mine] % len(self._sizes) == probes
        mine, own = mine[is_mine], roots(probes[is_mine])
        for _ in range(BLOCK_SETS.bit_length()):
            leads = self._leads[mine]
            same = leads >= 0
            same[same] = roots(self._keys[leads[same]] % len(self._sizes)) == own[same]
            if not same.any():
                break
            self._leads[mine[same]] = self._leads[leads[same]]

    def _looked_up(self, first: int, last: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Return for each first element of some probes: the probe, its place, and the entries of sets before it."""
        count = len(self._sizes)
        own = slice(self._borders[first], self._borders[last])
        keys, places = self._probe_keys[own], self._probe_places[own]
        runs, probes = np.divmod(keys, count)
        begins = np.searchsorted(self._keys, runs * count + self._smallest[probes])
        return probes, places, begins, np.maximum(np.searchsorted(self._keys, keys), begins)

    def _listed(self, probes: Ints, places: Ints, begins: Ints, ends: Ints) -> Ints:
        """Return the distinct keys of entries from `begins` to `ends` that no filter rules out, sorted."""
        sizes, count = self._sizes, len(self._sizes)
        lengths = ends - begins
        found = np.empty(0, np.int64)
        for one, end in chunks(lengths):
            rows = np.repeat(np.arange(one, end), lengths[one:end])
            hits = begins[rows] + within(lengths[one:end])
            probe = probes[rows]
            other = self._keys[hits] % count
            # The rest of either set after this element bounds what they can still share.
            rest = np.minimum(sizes[probe] - places[rows], sizes[other] - self._places[hits])
            needed = self._threshold / (1 + self._threshold) * (sizes[probe] + sizes[other]) - SLACK
            good = rest >= needed
            # Merged at once: near copies share most of their prefix, and would be found anew by each element.
            found = np.unique(np.concatenate([found, probe[good] * count + other[good]]))
        return found
