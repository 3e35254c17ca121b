"""Which sets hang together, remembered from one corpus to the next: only what is new is compared.

A join says of each set which others it hangs together with and which one is closest to it. Sets are known by a hash of
what is in them, so it holds for any corpus that has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forge.data.additions import similar_pairs_with
from forge.data.components import Components
from forge.data.digests import Digests
from forge.data.elements import Elements
from forge.data.join_files import Join, join_file, read_join, write_join
from forge.data.joined_before import Before
from forge.data.nearest import Nearest
from forge.data.prefixes import Counters, count_elements, write_counters
from forge.data.sets import Sets
from forge.data.shared_join import join_in_shares
from forge.data.similarity import similar_pairs
from forge.data.spare_memory import give_back
from forge.data.word_codes import Uint64
from forge.progress import Progress

MOST_NEW = 0.25
"""Share of new sets above which all are compared with all: it reads each set fewer times."""
SHARED_ELEMENTS = 1_000_000
"""From so many on several processes join them: fewer are joined sooner than they are handed out."""

Count = Callable[[Sets], Counters]


@dataclass(frozen=True, slots=True)
class Place:
    """Where many sets are joined."""

    pool: Executor
    folder: Path
    """For files, which are gone afterwards."""


def join_sets(
    sets: Sets,
    digests: Digests,
    threshold: float,
    progress: Progress,
    closest_wanted: bool = True,
    count: Count = count_elements,
    place: Place | None = None,
) -> Join:
    """Return which of different `sets` hang together: a Jaccard of at least `threshold`, or others between them.

    Args:
        sets: an empty one hangs together with none.
        digests: the hash of each.
        threshold: Jaccard.
        progress: told of sets.
        closest_wanted: without, `closest` names each set itself, and far fewer sets are compared.
        count: counts their elements.
        place: where many sets in a file are joined; None does it in this process.

    Raises:
        MachineError: a worker was killed.
    """
    ranks = digests.ranks()
    components, nearest = Components(len(sets)), Nearest(ranks)
    progress.start(len(sets), "documents")
    if place is not None and sets.path is not None and sets.counts.sum() >= SHARED_ELEMENTS:
        for found in join_in_shares(
            sets, threshold, ranks, closest_wanted, count(sets), place.pool, place.folder
        ):
            components.join(*found.edges)
            nearest.note(found.ones, found.closest, found.jaccards)
            progress.advance(found.probed)
    else:
        # Once two sets hang together it takes nobody to say so again.
        together = None if closest_wanted else components
        for pairs in similar_pairs(sets, threshold, together, count(sets)):
            components.join(pairs.first, pairs.second)
            if closest_wanted:
                nearest.note_pairs(pairs.first, pairs.second, pairs.jaccard)
            progress.advance(pairs.probed)
    return _joined(digests, components, nearest, int(np.count_nonzero(sets.counts)))


def join_beside(
    earlier: Join,
    index: Elements,
    sets: Sets,
    digests: Digests,
    threshold: float,
    progress: Progress,
    closest_wanted: bool = True,
) -> Join | None:
    """Return what `join_sets` does, of sets of which `earlier` has most, sooner; None where too many are new.

    Args:
        earlier: of the same threshold.
        index: has all of `sets`.
    """
    before = Before(earlier, sets, digests, threshold, closest_wanted)
    new = np.flatnonzero(before.new)
    if len(new) > MOST_NEW * len(sets):
        return None
    progress.start(len(sets), "documents")
    progress.resume(len(sets) - len(new))
    before.mend()
    together = None if closest_wanted else before.components
    for pairs in similar_pairs_with(sets, new, threshold, index, digests, together):
        before.components.join(pairs.first, pairs.second)
        if closest_wanted:
            before.nearest.note_pairs(pairs.first, pairs.second, pairs.jaccard)
        progress.advance(pairs.probed)
    return _joined(digests, before.components, before.nearest, len(new) + before.compared)


def _joined(digests: Digests, components: Components, nearest: Nearest, compared: int) -> Join:
    return Join(
        digests.keys, components.names(), nearest.closest, nearest.jaccards, components.edges(), compared
    )


def _add(index: Elements, store: Sets, known: Digests) -> None:
    index.add(store, known)
    give_back()


class Joins:
    """The joins of one corpus in the making: each starts from an earlier corpus's, and is written down."""

    def __init__(
        self, earlier: Path | None, out: Path | None, pool: Executor | None = None, work: Path | None = None
    ) -> None:
        """Args: `earlier` is a corpus artifact; what is new goes to `out`, None remembers nothing; `work` is for files
        of `pool`.
        """
        self._earlier, self._out = earlier, out
        self._place = None if pool is None or work is None else Place(pool, work)
        self._counted: tuple[Path, Counters] | None = None
        self._index: Elements | None = None

    def join(
        self,
        name: str,
        sets: Sequence[Uint64],
        digests: Uint64,
        threshold: float,
        progress: Progress,
        closest_wanted: bool = True,
    ) -> Join:
        """Return the join `name` of different `sets`, known by `digests`, (n, 2), as `join_sets` does.

        Raises:
            MachineError: a worker was killed.
        """
        store = sets if isinstance(sets, Sets) else Sets.of(sets)
        known = Digests(digests)
        give_back()
        index = self._index_here()
        earlier = None if self._earlier is None else read_join(join_file(self._earlier, name), threshold)
        joined = None
        # Sorting lets other threads run: the index is made while elements are counted.
        with ThreadPoolExecutor(max_workers=1) as beside:
            indexed = None if index is None else beside.submit(_add, index, store, known)
            if earlier is not None and index is not None and indexed is not None:
                indexed.result()
                joined = join_beside(earlier, index, store, known, threshold, progress, closest_wanted)
            if joined is None:
                joined = join_sets(
                    store, known, threshold, progress, closest_wanted, self._count, self._place
                )
            if indexed is not None:
                indexed.result()
        if earlier is not None:
            progress.note(
                f"{name}: {joined.compared:,} of {len(sets):,} different texts are new and compared"
            )
        if self._out is not None:
            write_join(join_file(self._out, name), joined, known.order, store.counts, threshold)
        return joined

    def _index_here(self) -> Elements | None:
        """Return the index of the corpus in the making; None where nothing is remembered."""
        if self._index is None and self._out is not None:
            self._index = Elements(self._out, self._earlier)
        return self._index

    def _count(self, store: Sets) -> Counters:
        """Count the elements of sets, once where they are in a file: several joins are of some of the same."""
        if store.path is None:
            return count_elements(store)
        if self._counted is None or self._counted[0] != store.path:
            self._counted = None
            counters = count_elements(store)
            give_back()
            if self._place is not None:
                counters = write_counters(counters, self._place.folder)
            self._counted = store.path, counters
        return self._counted[1]
