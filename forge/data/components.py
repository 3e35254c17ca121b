"""Connected components, fed with edges a block at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Components:
    """A union-find over `count` nodes. A component is named by its smallest node."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)
        self._edges: list[Ints] = []

    def join(self, first: Ints, second: Ints) -> None:
        """Join node first[i] with node second[i], for all i."""
        one, two = self.roots(first), self.roots(second)
        apart = np.flatnonzero(one != two)
        # In a large component most edges join what is joined: only the others cost a step of Python each.
        parents = self._parents
        _, places = np.unique(one[apart] * len(parents) + two[apart], return_index=True)
        joining = []
        for place in apart[places].tolist():
            a, b = int(one[place]), int(two[place])
            while parents[a] != a:
                a = int(parents[a])
            while parents[b] != b:
                b = int(parents[b])
            if a != b:
                parents[max(a, b)] = min(a, b)
                joining.append(place)
        if joining:
            self._edges.append(np.stack([first[joining], second[joining]]))

    def take_over(self, nodes: Ints, labels: Ints, edges: Ints) -> None:
        """Join those of some nodes, none of them joined yet, that share a label; `edges`, (2, n), hold them so."""
        smallest = np.full(int(labels.max(initial=-1)) + 1, len(self._parents), np.int64)
        np.minimum.at(smallest, labels, nodes)
        self._parents[nodes] = smallest[labels]
        self._edges.append(edges)

    def edges(self) -> Ints:
        """Return those of the edges that joined two components, (2, n): they are a forest of all."""
        return np.concatenate([np.empty((2, 0), np.int64), *self._edges], axis=1)

    def apart(self, first: Ints, second: Ints) -> npt.NDArray[np.bool_]:
        """Return for each pair of nodes whether they are in different components."""
        return np.asarray(self.roots(first) != self.roots(second))

    def names(self) -> Ints:
        """Return the name of each node's component."""
        self._parents = self.roots(np.arange(len(self._parents)))
        return self._parents

    def roots(self, nodes: Ints) -> Ints:
        """Return the name of the component of each of some nodes."""
        roots = self._parents[nodes]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[nodes] = roots
        return roots


def clusters(pairs: list[tuple[int, int]]) -> list[list[int]]:
    """Return the groups that hang together by `pairs`, each sorted, in the order of their first members."""
    places = {
        number: place for place, number in enumerate(sorted({number for pair in pairs for number in pair}))
    }
    components = Components(len(places))
    if pairs:
        components.join(
            np.array([places[one] for one, _ in pairs]), np.array([places[two] for _, two in pairs])
        )
    groups: dict[int, list[int]] = {}
    names = components.names().tolist() if places else []
    for number, name in zip(places, names, strict=True):
        groups.setdefault(int(name), []).append(number)
    return list(groups.values())
