"""Hashes: which of many are the same, and where each is among those that are all different."""

from __future__ import annotations

import functools

import numpy as np

from forge.data.sets import Ints
from forge.data.word_codes import Uint64


def same_hashes(keys: Uint64) -> tuple[Ints, Ints]:
    """Return the number of each of some hashes among the distinct ones, and the first place of each of those.

    They are numbered as they come.

    Args:
        keys: (n, words of a hash).
    """
    order = np.argsort(keys[:, 0], kind="stable")
    differ = np.diff(keys[order, 0]) != 0
    if not all(np.array_equal(differ, differ | (np.diff(word[order]) != 0)) for word in keys.T[1:]):
        # Some share their first word alone, which hardly any do.
        order = np.lexsort(keys.T[::-1])
        differ = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    begins = np.r_[True, differ][: len(order)]
    del differ
    # The sort is stable: the first of a run is the first in place.
    firsts = order[begins]
    by_first = np.argsort(firsts)
    names = np.empty(len(firsts), np.int64)
    names[by_first] = np.arange(len(firsts))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = names[np.cumsum(begins) - 1]
    return numbers, firsts[by_first]


class Digests:
    """A list of hashes that others are looked up in."""

    def __init__(self, keys: Uint64) -> None:
        """Args: `keys` is (n, 2)."""
        self.keys = keys
        order = np.argsort(keys[:, 0])
        high = keys[order, 0]
        if (high[1:] == high[:-1]).any():
            order = np.lexsort((keys[:, 1], keys[:, 0]))
        self.order: Ints = order
        """Their places, in the order of the hashes."""

    # Made when something is looked up: a first join looks up nothing.

    @functools.cached_property
    def _high(self) -> Uint64:
        high: Uint64 = self.keys[self.order, 0]
        return high

    @functools.cached_property
    def _low(self) -> Uint64:
        low: Uint64 = self.keys[self.order, 1]
        return low

    def __len__(self) -> int:
        return len(self.keys)

    def ranks(self) -> Ints:
        """Return how many hashes are before each."""
        ranks = np.empty(len(self.order), np.int64)
        ranks[self.order] = np.arange(len(self.order))
        return ranks

    def find(self, wanted: Uint64) -> Ints:
        """Return the place of each of `wanted`, (n, 2); -1 where it is not there."""
        found = np.full(len(wanted), -1, np.int64)
        if not len(self.order):
            return found
        high, low = wanted.T
        at = np.searchsorted(self._high, high)
        beyond = at == len(self.order)
        at[beyond] = 0
        same = self._high[at] == high
        hit = same & (self._low[at] == low)
        np.copyto(found, self.order[at], where=hit)
        # Of hashes that share their first half, which hardly any do, the one with the same second half.
        left = np.flatnonzero(same & ~hit)
        while len(left):
            at[left] += 1
            left = left[at[left] < len(self.order)]
            left = left[self._high[at[left]] == high[left]]
            hits = self._low[at[left]] == low[left]
            found[left[hits]] = self.order[at[left[hits]]]
            left = left[~hits]
        return found
