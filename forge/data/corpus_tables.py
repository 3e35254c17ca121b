"""The tables of a corpus artifact, written in the order of document_id."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.decisions import Records
from forge.data.roster import Roster
from forge.data.tables import ROW_GROUP_ROWS
from forge.data.tasks import Piece, read_bucket

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
    ]
)
SET_ASIDE = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("duplicate_of", pa.string()),
    ]
)
CHANGED = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)


def write_corpus(
    out: Path, buckets: Iterable[tuple[Piece, ...]], roster: Roster, groups: list[str], splits: list[str]
) -> None:
    """Write corpus.parquet: the documents of `roster`, from the buckets of the last pass, one in memory at a time."""
    place = 0
    ids = roster.document_ids
    with parquet.ParquetWriter(out / "corpus.parquet", CORPUS, compression="zstd") as writer:
        for pieces in buckets:
            table = read_bucket(pieces)
            if not len(table):
                continue
            end = bisect_right(ids, table["document_id"][-1].as_py(), place)
            if end == place:
                continue
            kept = pa.array(ids[place:end], pa.string())
            table = table.filter(compute.is_in(table["document_id"], kept)).combine_chunks()
            columns = {
                **{name: table[name] for name in ("document_id", "source", "path", "text")},
                "bytes": compute.binary_length(table["text"]).cast(pa.int64()),
                "words": pa.array(roster.words[place:end], pa.int64()),
                "group": pa.array(groups[place:end], pa.string()),
                "split": pa.array(splits[place:end], pa.string()),
            }
            writer.write_table(
                pa.table([columns[name] for name in CORPUS.names], schema=CORPUS),
                row_group_size=ROW_GROUP_ROWS,
            )
            place = end


def write_records(out: Path, records: Records) -> None:
    """Write set_aside.parquet and changed.parquet."""
    records.aside.sort(key=lambda row: row[0])
    records.changes.sort(key=lambda row: row[0])  # stable: a document's changes stay in their order
    for name, schema, rows in (
        ("set_aside", SET_ASIDE, records.aside),
        ("changed", CHANGED, records.changes),
    ):
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, schema, strict=True)]
        parquet.write_table(pa.table(arrays, schema=schema), out / f"{name}.parquet", compression="zstd")
