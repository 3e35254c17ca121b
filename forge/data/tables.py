"""Parquet tables that grow row by row in bounded memory and come out the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as parquet

ROW_GROUP_ROWS = 4_096
ROW_GROUP_TEXT_BYTES = 32 * 1024 * 1024


class TableWriter:
    """Writes rows to one Parquet file; a context manager. A row group ends by rows or by text, whichever is first."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._table_rows = 0
        self._text_bytes = 0

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; its keys are the columns."""
        self._rows.append(row)
        self._text_bytes += len(row.get("text", ""))
        if len(self._rows) >= ROW_GROUP_ROWS or self._text_bytes >= ROW_GROUP_TEXT_BYTES:
            self._flush()

    def extend(self, table: pa.Table) -> None:
        """Add the rows of a table of the same schema. Where groups end depends on how the rows come in tables."""
        self._gather()
        self._tables.append(table)
        self._table_rows += table.num_rows
        self._text_bytes += table.nbytes
        if self._table_rows >= ROW_GROUP_ROWS or self._text_bytes >= ROW_GROUP_TEXT_BYTES:
            self._flush()

    def _gather(self) -> None:
        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._table_rows += len(self._rows)
            self._rows.clear()

    def _flush(self) -> None:
        self._gather()
        if self._table_rows:
            self._writer.write_table(pa.concat_tables(self._tables), row_group_size=self._table_rows)
        self._tables.clear()
        self._table_rows = self._text_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()
