"""Of each set the one that is most like it, fed with pairs a block at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge.data.sets import Ints


class Nearest:
    """The set most like each, of several the one with the lowest rank; itself where none is similar."""

    def __init__(self, ranks: Ints) -> None:
        """Args: `ranks` of the sets, all different."""
        self._ranks = ranks
        self.closest: Ints = np.arange(len(ranks))
        self.jaccards: npt.NDArray[np.float64] = np.zeros(len(ranks))
        """With `closest`; 0 where none is similar."""

    def note(self, one: Ints, two: Ints, jaccard: npt.NDArray[np.float64]) -> None:
        """Take into account that set one[i] has this Jaccard with two[i]; which says nothing of two[i]."""
        ranks, closest, jaccards = self._ranks, self.closest, self.jaccards
        before = jaccards[one]
        np.maximum.at(jaccards, one, jaccard)
        best = np.flatnonzero(jaccard == jaccards[one])
        best = best[(jaccard[best] > before[best]) | (ranks[two[best]] < ranks[closest[one[best]]])]
        one, two = one[best], two[best]
        # Of several for one set, the last in this order is the one with the lowest rank.
        order = np.lexsort((-ranks[two], one))
        one, two = one[order], two[order]
        last = np.flatnonzero(np.diff(one, append=-1))
        closest[one[last]] = two[last]

    def note_pairs(self, one: Ints, two: Ints, jaccard: npt.NDArray[np.float64]) -> None:
        """Take pairs into account, for both ends of each."""
        self.note(np.concatenate([one, two]), np.concatenate([two, one]), np.concatenate([jaccard, jaccard]))
