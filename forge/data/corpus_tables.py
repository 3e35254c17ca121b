"""The table of a corpus's documents, written in the order of document_id."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from forge.data.columns import DIGEST
from forge.data.roster import Roster
from forge.data.sets import Ints
from forge.data.tables import ROW_GROUP_ROWS, RowGroups
from forge.data.tasks import Bucket, read_bucket, with_digests

CORPUS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("digest", DIGEST, nullable=False),
    ]
)


def write_corpus(
    out: Path,
    buckets: Iterable[Bucket],
    roster: Roster,
    heads: Ints,
    held_out: npt.NDArray[np.bool_],
) -> None:
    """Write corpus.parquet: the documents of `roster`, from the buckets of the last pass, one in memory at a time.

    Args:
        heads: of each document the first one of its family.
        held_out: whether each document is.
    """
    place = 0
    ids, words = roster["document_id"], roster.numbers("words")
    with RowGroups(out / "corpus.parquet", CORPUS) as writer:
        for pieces in buckets:
            table = read_bucket(pieces)
            if not len(table):
                continue
            last = table["document_id"][-1].as_py()
            end = bisect_right(range(len(ids)), last, place, key=lambda at: ids[at].as_py())
            if end == place:
                continue
            kept = ids.slice(place, end - place)
            if len(kept) < len(table):
                table = table.filter(compute.is_in(table["document_id"], kept.combine_chunks()))
            table = table.combine_chunks()
            columns = {
                **{name: table[name] for name in ("document_id", "source", "path", "text")},
                "bytes": compute.binary_length(table["text"]).cast(pa.int64()),
                "words": pa.array(words[place:end], pa.int64()),
                "group": ids.take(pa.array(heads[place:end])),
                "digest": with_digests(table)["digest"],
                "split": pa.array(np.where(held_out[place:end], "held_out", "train"), pa.string()),
            }
            writer.write(pa.table([columns[name] for name in CORPUS.names], schema=CORPUS), ROW_GROUP_ROWS)
            place = end
