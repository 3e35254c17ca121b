"""Connected components, fed with edges a block at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Components:
    """A union-find over `count` nodes. A component is named by its smallest node."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def join(self, first: Ints, second: Ints) -> None:
        """Join node first[i] with node second[i], for all i."""
        one, two = self._roots(first), self._roots(second)
        apart = one != two
        # In a large component most edges join what is joined: only the others cost a step of Python each.
        parents = self._parents
        for a, b in np.unique(np.stack([one[apart], two[apart]], axis=1), axis=0).tolist():
            while parents[a] != a:
                a = int(parents[a])
            while parents[b] != b:
                b = int(parents[b])
            parents[max(a, b)] = min(a, b)

    def names(self) -> Ints:
        """Return the name of each node's component."""
        self._parents = self._roots(np.arange(len(self._parents)))
        return self._parents

    def _roots(self, nodes: Ints) -> Ints:
        roots = self._parents[nodes]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[nodes] = roots
        return roots
