"""Which sets hang together, remembered from one corpus to the next: only what is new is compared.

A join says of each set which others it hangs together with and which one is closest to it. Sets are known by a hash of
what is in them, so it holds for any corpus that has them. Where a set is gone, those that hung together with it may not
any more: they are compared again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.components import Components
from forge.data.sets import Ints, Sets
from forge.data.similarity import Pairs, similar_pairs, similar_pairs_with
from forge.data.word_codes import Uint64
from forge.progress import Progress

MOST_NEW = 0.25
"""Share of new sets above which all are compared with all: it reads each set fewer times."""
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


def set_digest(one: Uint64) -> bytes:
    """Return what a set is known by, 16 bytes."""
    return hashlib.blake2b(one.data, digest_size=16).digest()


def join_sets(
    sets: Sequence[Uint64],
    digests: Uint64,
    threshold: float,
    earlier: Join | None,
    progress: Progress,
    closest_wanted: bool = True,
) -> Join:
    """Return which of distinct `sets` hang together: a Jaccard of at least `threshold`, or others between them.

    Args:
        sets: sorted distinct elements each; an empty one hangs together with none.
        digests: (n, 2), the hash of each.
        threshold: Jaccard.
        earlier: of the same threshold and of some of the same sets: with it the result is the same, sooner.
        progress: told of sets.
        closest_wanted: without, `closest` names each set itself, and far fewer sets are compared.
    """
    store = sets if isinstance(sets, Sets) else Sets.of(sets)
    components = Components(len(store))
    closest, jaccards = np.arange(len(store)), np.zeros(len(store))
    ranks = np.empty(len(store), np.int64)
    ranks[np.lexsort((digests[:, 1], digests[:, 0]))] = np.arange(len(store))
    new = np.ones(len(store), np.bool_)
    if earlier is not None:
        new = _take_over(earlier, digests, components, closest, jaccards)
        if np.count_nonzero(new) > MOST_NEW * len(store):
            new[:] = True
            components = Components(len(store))
            closest, jaccards = np.arange(len(store)), np.zeros(len(store))
    progress.start(len(store), "documents")
    if not new.all():
        progress.resume(len(store) - int(np.count_nonzero(new)))
    # Once two sets hang together it takes nobody to say so again.
    together = None if closest_wanted else components
    found = (
        similar_pairs(store, threshold, together)
        if new.all()
        else similar_pairs_with(store, new, threshold, together)
    )
    for pairs in found:
        components.join(pairs.first, pairs.second)
        if closest_wanted:
            _note_closest(pairs, ranks, closest, jaccards)
        progress.advance(pairs.probed)
    compared = int(np.count_nonzero(new & (store.counts > 0)))
    return Join(digests, components.names(), closest, jaccards, compared)


def _take_over(
    earlier: Join,
    digests: Uint64,
    components: Components,
    closest: Ints,
    jaccards: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Take over what is known; return which sets have to be compared."""
    place_of = {tuple(digest): place for place, digest in enumerate(digests.tolist())}
    places = np.array([place_of.get(tuple(digest), -1) for digest in earlier.digests.tolist()], np.int64)
    whole = np.ones(len(places), np.bool_)
    whole[earlier.components[places < 0]] = False
    kept = whole[earlier.components]
    mine = places[kept]
    components.join(mine, places[earlier.components[kept]])
    closest[mine] = places[earlier.closest[kept]]
    jaccards[mine] = earlier.jaccards[kept]
    new = np.ones(len(digests), np.bool_)
    new[mine] = False
    return new


def _note_closest(pairs: Pairs, ranks: Ints, closest: Ints, jaccards: npt.NDArray[np.float64]) -> None:
    one = np.concatenate([pairs.first, pairs.second])
    two = np.concatenate([pairs.second, pairs.first])
    jaccard = np.concatenate([pairs.jaccard, pairs.jaccard])
    better = (jaccard > jaccards[one]) | ((jaccard == jaccards[one]) & (ranks[two] < ranks[closest[one]]))
    one, two, jaccard = one[better], two[better], jaccard[better]
    # Of several for one set, the last in this order is the one with the highest Jaccard, then the smallest hash.
    order = np.lexsort((-ranks[two], jaccard, one))
    one, two, jaccard = one[order], two[order], jaccard[order]
    last = np.flatnonzero(np.diff(one, append=-1))
    closest[one[last]] = two[last]
    jaccards[one[last]] = jaccard[last]


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


class Joins:
    """The joins of one corpus in the making: each starts from an earlier corpus's, and is written down."""

    def __init__(self, earlier: Path | None, out: Path | None) -> None:
        """Args: `earlier` is a corpus artifact; what is new goes to `out`; None does without."""
        self._earlier, self._out = earlier, out

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
        joined = join_sets(store, digests, threshold, earlier, progress, closest_wanted)
        if earlier is not None:
            progress.note(
                f"{name}: {joined.compared:,} of {len(sets):,} different texts are new and compared"
            )
        if self._out is not None:
            write_join(join_file(self._out, name), joined, store.counts, threshold)
        return joined


def join_file(folder: Path, name: str) -> Path:
    """Return where a join lies."""
    return folder / f"{name}.parquet"
