"""A join of sets beside an earlier one of most of them: what is new is looked up, and what lost a set is mended.

A new set is compared with all that are like it. Of those that were there before, similar ones hang together already:

- a set whose closest one is gone is compared with those it hung together with, for the one that is closest now;
- where one of those that hung together is gone, the edges that are left hold them in pieces. Sets of all pieces but the
  largest are compared with the others, a few of each piece, then more and more of those that are still apart: any edge
  between two pieces has an end in one that was compared whole, or both hang together with the largest.

So what hangs together and what is closest is what a join of all with all finds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.digests import Digests
from forge.data.join_files import Join
from forge.data.nearest import Nearest
from forge.data.overlaps import verified
from forge.data.postings import BLOCK_SETS
from forge.data.prefixes import sizes_alike
from forge.data.sets import Ints, Sets, chunks, distinct, ranges, within
from forge.data.similarity import rounds

MORE_PROBES = 4
"""Times as many sets of a piece are compared in each round."""


class Before:
    """What an earlier join says of sets, taken over."""

    def __init__(
        self, earlier: Join, sets: Sets, digests: Digests, threshold: float, closest_wanted: bool
    ) -> None:
        """Args: as `joins.join_sets` has them; `sets` are all, the new ones among them."""
        self._sets, self._threshold, self._closest_wanted = sets, threshold, closest_wanted
        self.components, self.nearest = Components(len(sets)), Nearest(digests.ranks())
        places = digests.find(earlier.digests)
        here = places >= 0
        mine = places[here]
        self._labels = np.full(len(sets), -1, np.int64)
        """What of an earlier component each set is of; -1 for a new one."""
        self._labels[mine] = earlier.components[here]
        self._broken = distinct(earlier.components[~here])
        broken = np.zeros(len(places), np.bool_)
        broken[self._broken] = True
        whole = here & ~broken[earlier.components]
        edges = places[earlier.edges]
        in_whole = ~broken[earlier.components[earlier.edges[0]]]
        self.components.take_over(places[whole], earlier.components[whole], edges[:, in_whole])
        edges = edges[:, ~in_whole & (edges >= 0).all(axis=0)]
        self.components.join(edges[0], edges[1])
        closest = places[earlier.closest[here]]
        there = closest >= 0
        self.nearest.closest[mine[there]] = closest[there]
        self.nearest.jaccards[mine[there]] = earlier.jaccards[here][there]
        self._without = np.sort(mine[~there])
        """Sets whose closest one is gone."""
        self.new: npt.NDArray[np.bool_] = (self._labels < 0) & (sets.counts > 0)
        self.compared = 0
        """Sets that were compared with others to mend it."""

    def mend(self) -> None:
        """Find anew what hung on sets that are gone. First: new sets then find less that is apart."""
        broken = np.isin(self._labels, self._broken)
        if not broken.any():
            return
        members = np.flatnonzero(broken)
        by_size = members[np.lexsort((self._sets.counts[members], self._labels[members]))]
        self._compare(self._without, by_size, None)
        left = self._pieces(members)
        count = 1
        while len(left):
            # Of each piece that is still apart a few.
            pieces = left[:, 1]
            rank = within(np.diff(np.flatnonzero(np.diff(pieces, prepend=-1, append=-1))))
            now = rank < count
            self._compare(np.sort(left[now, 0]), by_size, self.components)
            left = left[~now]
            left = left[self.components.apart(left[:, 0], left[:, 2])]
            count *= MORE_PROBES

    def _pieces(self, members: Ints) -> Ints:
        """Return rows (set, piece, a set of the largest piece) of those that are apart from their largest piece."""
        roots = self.components.roots(members)
        order = np.lexsort((members, roots, self._labels[members]))
        members, roots = members[order], roots[order]
        labels = self._labels[members]
        names, begins, sizes = np.unique(
            np.stack([labels, roots], axis=1), axis=0, return_index=True, return_counts=True
        )
        # Of the pieces of a component the largest, and of several the first, comes last.
        by_size = np.lexsort((-begins, sizes, names[:, 0]))
        largest = by_size[np.flatnonzero(np.diff(names[by_size, 0], append=-2))]
        main = np.repeat(members[begins[largest]], np.bincount(np.searchsorted(names[largest, 0], labels)))
        apart = self.components.apart(members, main)
        return np.stack([members, roots, main], axis=1)[apart]

    def _compare(self, probes: Ints, by_size: Ints, together: Components | None) -> None:
        """Compare some sets with those of their earlier components, which `by_size` has by component and size."""
        self.compared += len(probes)
        numbers = np.arange(len(self._sets))
        for keys in self._keys(probes, by_size):
            for few, _ in rounds(keys, numbers, together):
                found, jaccards = verified(self._sets, few, self._threshold)
                ones, others = np.divmod(found, len(self._sets))
                self.components.join(ones, others)
                if self._closest_wanted:
                    self.nearest.note_pairs(ones, others, jaccards)

    def _keys(self, probes: Ints, by_size: Ints) -> Iterator[Ints]:
        """Yield sorted keys `probe * n + other` of sets of sizes that may be like it, a block of probes at a time."""
        sizes, labels = self._sets.counts, self._labels
        span = int(sizes.max()) + 1
        where = labels[by_size] * span + sizes[by_size]
        least, most = sizes_alike(sizes[probes], self._threshold)
        most = np.minimum(most, span - 1)
        begins = np.searchsorted(where, labels[probes] * span + least)
        lengths = np.searchsorted(where, labels[probes] * span + most, side="right") - begins
        for start, end in chunks(lengths):
            for first in range(start, end, BLOCK_SETS):
                last = min(first + BLOCK_SETS, end)
                some = lengths[first:last]
                own = np.repeat(probes[first:last], some)
                others = by_size[ranges(begins[first:last], some)]
                yield np.sort(own[own != others] * len(self._sets) + others[own != others])
