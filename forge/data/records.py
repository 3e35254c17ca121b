"""What became of documents: the tables of those that were set aside, and of what was changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

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
SAMPLES = 3


def table_of(rows: Iterable[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table."""
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    return pa.table(arrays, schema=schema)


class Records:
    """Every document set aside and every change made, in columns: there may be millions."""

    def __init__(self) -> None:
        self._tables: dict[str, list[pa.Table]] = {"set_aside": [], "changed": []}
        self._ordered_now: set[str] = set()

    def add(self, aside: pa.Table, changes: pa.Table | None = None) -> None:
        """Add rows of SET_ASIDE, and of CHANGED."""
        self._ordered_now.clear()
        self._tables["set_aside"].append(aside)
        if changes is not None:
            self._tables["changed"].append(changes)

    @property
    def aside(self) -> pa.Table:
        """All rows of SET_ASIDE, in the order of the documents' ids."""
        return self._ordered("set_aside", SET_ASIDE)

    @property
    def changes(self) -> pa.Table:
        """All rows of CHANGED, in the order of the documents' ids; a document's in their own."""
        return self._ordered("changed", CHANGED)

    def _ordered(self, name: str, schema: pa.Schema) -> pa.Table:
        if name not in self._ordered_now:
            table = pa.concat_tables([schema.empty_table(), *self._tables[name]]).combine_chunks()
            table = table.take(pc.sort_indices(table["document_id"])).combine_chunks()
            self._tables[name] = [table]
            self._ordered_now.add(name)
        return self._tables[name][0]

    def reasons(self) -> Counter[str]:
        """Return how many documents were set aside for each reason."""
        return _counted(self.aside["reason"])

    def write(self, out: Path) -> None:
        """Write set_aside.parquet and changed.parquet."""
        for name, table in (("set_aside", self.aside), ("changed", self.changes)):
            parquet.write_table(table, out / f"{name}.parquet", compression="zstd")

    def by_step(self, steps: Iterable[str], documents_in: int) -> list[dict[str, Any]]:
        """Return of each step how many documents it saw, set aside and changed, and the first few of either."""
        found = []
        aside, changes = self.aside, self.changes
        for step in steps:
            gone, changed = (table.filter(pc.equal(table["step"], step)) for table in (aside, changes))
            found.append(
                {
                    "step": step,
                    "documents_in": documents_in,
                    "set_aside": len(gone),
                    "changed": len(changed),
                    "reasons": dict(sorted(_counted(gone["reason"]).items())),
                    "samples": [
                        row
                        for table in (gone, changed)
                        for row in table.slice(0, SAMPLES)
                        .select(["document_id", "path", "detail"])
                        .to_pylist()
                    ],
                }
            )
            documents_in -= len(gone)
        return found


def _counted(column: pa.ChunkedArray) -> Counter[str]:
    return Counter({one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()})
