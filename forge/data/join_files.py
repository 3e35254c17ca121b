"""A join as a corpus keeps it.

<name>.parquet     of each set that is not empty, in the order of their hashes: the first of those that it hangs
                   together with, the one that is most like it, and their Jaccard
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
import pyarrow.parquet as parquet

from forge.data.sets import Ints
from forge.data.word_codes import Uint64

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
    edges: Ints
    """(2, n): pairs that are similar, a forest of each that hangs together."""
    compared: int
    """Sets that were compared with others for it."""


def join_file(folder: Path, name: str) -> Path:
    """Return where a join lies."""
    return folder / f"{name}.parquet"


def edges_file(path: Path) -> Path:
    """Return where the edges of the join at `path` lie."""
    return path.with_suffix(".edges.npy")


def write_join(path: Path, join: Join, order: Ints, counts: Ints, threshold: float) -> None:
    """Write what is known of the sets that are not empty; `order` is that of their hashes."""
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
    table = table.replace_schema_metadata({THRESHOLD: repr(threshold)})
    edges, beside = edges_file(path), path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        np.save(file, ranks[join.edges])
    beside.replace(edges)
    # Hashes are as long however they are written, and nothing looks at the numbers between.
    parquet.write_table(table, beside, compression="zstd", use_dictionary=False)
    beside.replace(path)


def read_join(path: Path, threshold: float) -> Join | None:
    """Return what an earlier corpus knows of sets at this threshold; None where there is no such."""
    try:
        with parquet.ParquetFile(path) as file:
            if (file.schema_arrow.metadata or {}).get(THRESHOLD) != repr(threshold).encode():
                return None
            table = file.read()
        high, low, components, closest, jaccards = (table[name].to_numpy() for name in JOIN.names)
        edges = np.load(edges_file(path))
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    return Join(np.stack([high, low], axis=1), components, closest, jaccards, edges, 0)
