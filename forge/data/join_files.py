"""A join as a corpus keeps it.

<name>.arrow       of each set that is not empty, in the order of their hashes: the first of those that it hangs
                   together with, the one that is most like it, and their Jaccard. Mapped, and so not compressed
<name>.edges.npy   (2, n) int64: pairs that are similar, as many as hold all together that hang together. Which they
                   are hangs on how they were found
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from forge.data.sets import Ints
from forge.data.word_codes import Uint64

THRESHOLD = b"forge_threshold"
JOIN = pa.schema(
    [
        pa.field("set_high", pa.uint64(), nullable=False),
        pa.field("set_low", pa.uint64(), nullable=False),
        pa.field("component", pa.int32(), nullable=False),
        pa.field("closest", pa.int32(), nullable=False),
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
    edges: Ints
    """(2, n): pairs that are similar, a forest of each that hangs together."""
    compared: int
    """Sets that were compared with others for it."""


def join_file(folder: Path, name: str) -> Path:
    """Return where a join lies."""
    return folder / f"{name}.arrow"


def edges_file(path: Path) -> Path:
    """Return where the edges of the join at `path` lie."""
    return path.with_suffix(".edges.npy")


def write_join(path: Path, join: Join, order: Ints, counts: Ints, threshold: float) -> None:
    """Write what is known of the sets that are not empty; `order` is that of their hashes."""
    order = order[counts[order] > 0]
    ranks = np.full(len(counts), -1, np.int64)
    ranks[order] = np.arange(len(order))
    # The name of a component is its first member in this order, wherever its sets were.
    components = join.components[order]
    first = np.empty(len(counts), np.int64)
    first[components[::-1]] = np.arange(len(order))[::-1]
    columns: list[Any] = [
        join.digests[order, 0],
        join.digests[order, 1],
        first[components].astype(np.int32),
        ranks[join.closest[order]].astype(np.int32),
        join.jaccards[order],
    ]
    batch = pa.record_batch(
        [pa.array(column) for column in columns], schema=JOIN.with_metadata({THRESHOLD: repr(threshold)})
    )
    edges, beside = edges_file(path), path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        np.save(file, ranks[join.edges])
    beside.replace(edges)
    with ipc.new_file(str(beside), batch.schema) as stored:
        stored.write_batch(batch)
    beside.replace(path)


def read_join(path: Path, threshold: float) -> Join | None:
    """Return what an earlier corpus knows of sets at this threshold; None where there is no such."""
    try:
        with pa.memory_map(str(path)) as file, ipc.open_file(file) as stored:
            if (stored.schema.metadata or {}).get(THRESHOLD) != repr(threshold).encode():
                return None
            batch = stored.get_batch(0)
        high, low, components, closest, jaccards = (batch[name].to_numpy() for name in JOIN.names)
        edges = np.load(edges_file(path))
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    digests = np.stack([high, low], axis=1)
    return Join(digests, components.astype(np.int64), closest.astype(np.int64), jaccards, edges, 0)
