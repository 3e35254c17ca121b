"""Which sets hang together, remembered from one corpus to the next: only what is new is compared.

A join says of each set which others it hangs together with and which one is closest to it. Sets are known by a hash of
what is in them, so it holds for any corpus that has them. Where a set is gone, those that hung together with it may not
any more: they are compared again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.components import Components
from forge.data.nearest import Nearest
from forge.data.prefixes import Counters, count_elements
from forge.data.sets import Ints, Sets
from forge.data.shared_join import join_in_shares
from forge.data.similarity import similar_pairs, similar_pairs_with
from forge.data.word_codes import Uint64
from forge.progress import Progress

MOST_NEW = 0.25
"""Share of new sets above which all are compared with all: it reads each set fewer times."""
SHARED_ELEMENTS = 1_000_000
"""From so many on several processes join them: fewer are joined sooner than they are handed out."""
THRESHOLD = b"forge_threshold"
JOIN = pa.schema(
    [
        pa.field("set_high", pa.uint64(), nullable=False),
        pa.field("set_low", pa.uint64(), nullable=False),
        pa.field("component", pa.int64(), nullable=False),
        pa.field("closest", pa.int64(), nullable=False),
        pa.field("jaccard", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Join:
    """What is known of sets, by place."""

    digests: Uint64
    """(n, 2): a hash of each set."""
    components: Ints
    """The first set of those that hang together with each; itself where none does."""
    closest: Ints
    """The set that is most like each, of several the one with the smallest hash; itself where none is similar, or where
    nobody asked."""
    jaccards: npt.NDArray[np.float64]
    """With `closest`; 0 where none is similar."""
    compared: int
    """Sets that were compared with others for it."""


def join_sets(
    sets: Sequence[Uint64],
    digests: Uint64,
    threshold: float,
    earlier: Join | None,
    progress: Progress,
    closest_wanted: bool = True,
    count: Callable[[Sets], Counters] = count_elements,
    place: Place | None = None,
) -> Join:
    """Return which of distinct `sets` hang together: a Jaccard of at least `threshold`, or others between them.

    Args:
        sets: sorted distinct elements each; an empty one hangs together with none.
        digests: (n, 2), the hash of each.
        threshold: Jaccard.
        earlier: of the same threshold and of some of the same sets: with it the result is the same, sooner.
        progress: told of sets.
        closest_wanted: without, `closest` names each set itself, and far fewer sets are compared.
        count: counts their elements, where all are compared with all.
        place: where many sets in a file are joined; None does it in this process.

    Raises:
        MachineError: a worker was killed.
    """
    store = sets if isinstance(sets, Sets) else Sets.of(sets)
    ranks = np.empty(len(store), np.int64)
    ranks[np.lexsort((digests[:, 1], digests[:, 0]))] = np.arange(len(store))
    components, nearest = Components(len(store)), Nearest(ranks)
    new = np.ones(len(store), np.bool_)
    if earlier is not None:
        new = _take_over(earlier, digests, components, nearest)
        if np.count_nonzero(new) > MOST_NEW * len(store):
            new[:] = True
            components, nearest = Components(len(store)), Nearest(ranks)
    progress.start(len(store), "documents")
    if not new.all():
        progress.resume(len(store) - int(np.count_nonzero(new)))
    if place is not None and new.all() and store.path is not None and store.counts.sum() >= SHARED_ELEMENTS:
        for found in join_in_shares(
            store, threshold, ranks, closest_wanted, count(store), place.pool, place.folder
        ):
            components.join(found.members, found.heads)
            nearest.note(found.ones, found.closest, found.jaccards)
            progress.advance(found.probed)
    else:
        # Once two sets hang together it takes nobody to say so again.
        together = None if closest_wanted else components
        for pairs in (
            similar_pairs(store, threshold, together, count(store))
            if new.all()
            else similar_pairs_with(store, new, threshold, together)
        ):
            components.join(pairs.first, pairs.second)
            if closest_wanted:
                nearest.note_pairs(pairs.first, pairs.second, pairs.jaccard)
            progress.advance(pairs.probed)
    compared = int(np.count_nonzero(new & (store.counts > 0)))
    return Join(digests, components.names(), nearest.closest, nearest.jaccards, compared)


def _take_over(
    earlier: Join, digests: Uint64, components: Components, nearest: Nearest
) -> npt.NDArray[np.bool_]:
    """Take over what is known; return which sets have to be compared."""
    places = _places_of(earlier.digests, digests)
    whole = np.ones(len(places), np.bool_)
    whole[earlier.components[places < 0]] = False
    kept = whole[earlier.components]
    mine = places[kept]
    components.join(mine, places[earlier.components[kept]])
    nearest.closest[mine] = places[earlier.closest[kept]]
    nearest.jaccards[mine] = earlier.jaccards[kept]
    new = np.ones(len(digests), np.bool_)
    new[mine] = False
    return new


def _places_of(wanted: Uint64, digests: Uint64) -> Ints:
    """Return where each of `wanted` is in `digests`, all different; -1 where it is not."""
    if not len(digests):
        return np.full(len(wanted), -1, np.int64)
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    at = np.searchsorted(ordered[:, 0], wanted[:, 0])
    found = np.full(len(wanted), -1, np.int64)
    # Of digests that share their first half, which hardly any do, the one with the same second half.
    left = np.flatnonzero(at < len(ordered))
    while len(left):
        here = ordered[at[left]]
        left, here = left[same := here[:, 0] == wanted[left, 0]], here[same]
        hit = here[:, 1] == wanted[left, 1]
        found[left[hit]] = order[at[left[hit]]]
        left = left[~hit]
        at[left] += 1
        left = left[at[left] < len(ordered)]
    return found


def write_join(path: Path, join: Join, counts: Ints, threshold: float) -> None:
    """Write what is known of the sets that are not empty, in the order of their hashes."""
    order = np.lexsort((join.digests[:, 1], join.digests[:, 0]))
    order = order[counts[order] > 0]
    ranks = np.full(len(counts), -1, np.int64)
    ranks[order] = np.arange(len(order))
    # The name of a component is its first member in this order, wherever its sets were.
    first = np.full(len(counts), len(order), np.int64)
    np.minimum.at(first, join.components[order], ranks[order])
    columns: list[Any] = [
        join.digests[order, 0],
        join.digests[order, 1],
        first[join.components[order]],
        ranks[join.closest[order]],
        join.jaccards[order],
    ]
    table = pa.table([pa.array(column) for column in columns], schema=JOIN)
    beside = path.with_name(f".{path.name}")
    table = table.replace_schema_metadata({THRESHOLD: repr(threshold)})
    parquet.write_table(table, beside, compression="zstd")
    beside.replace(path)


def read_join(path: Path, threshold: float) -> Join | None:
    """Return what an earlier corpus knows of sets at this threshold; None where there is no such."""
    try:
        table = parquet.read_table(path)
        if table.schema.metadata[THRESHOLD] != repr(threshold).encode():
            return None
        high, low, components, closest, jaccards = (table[name].to_numpy() for name in JOIN.names)
    except (OSError, KeyError, TypeError, pa.ArrowException):
        return None
    return Join(np.stack([high, low], axis=1), components, closest, jaccards, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where many sets are joined."""

    pool: Executor
    folder: Path
    """For files, which are gone afterwards."""


class Joins:
    """The joins of one corpus in the making: each starts from an earlier corpus's, and is written down."""

    def __init__(self, earlier: Path | None, out: Path | None, pool: Executor | None = None) -> None:
        """Args: `earlier` is a corpus artifact; what is new goes to `out`; None does without."""
        self._earlier, self._out = earlier, out
        self._place = None if pool is None or out is None else Place(pool, out)
        self._counted: tuple[Path, Counters] | None = None

    def join(
        self,
        name: str,
        sets: Sequence[Uint64],
        digests: Uint64,
        threshold: float,
        progress: Progress,
        closest_wanted: bool = True,
    ) -> Join:
        """Return the join `name`, as `join_sets` does."""
        earlier = None if self._earlier is None else read_join(join_file(self._earlier, name), threshold)
        store = sets if isinstance(sets, Sets) else Sets.of(sets)
        joined = join_sets(
            store, digests, threshold, earlier, progress, closest_wanted, self._count, self._place
        )
        if earlier is not None:
            progress.note(
                f"{name}: {joined.compared:,} of {len(sets):,} different texts are new and compared"
            )
        if self._out is not None:
            write_join(join_file(self._out, name), joined, store.counts, threshold)
        return joined

    def _count(self, store: Sets) -> Counters:
        """Count the elements of sets, once where they are in a file: several joins are of some of the same."""
        if store.path is None:
            return count_elements(store)
        if self._counted is None or self._counted[0] != store.path:
            self._counted = None
            self._counted = store.path, count_elements(store)
        return self._counted[1]


def join_file(folder: Path, name: str) -> Path:
    """Return where a join lies."""
    return folder / f"{name}.parquet"
