"""Parquet tables that grow in bounded memory and come out the same bytes for the same rows, however these come."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

ROW_GROUP_ROWS = 4_096
ROW_GROUP_TEXT_BYTES = 32 * 1024 * 1024
ALL_DIFFERENT = frozenset({"document_id", "text", "sha256", "digest"})
"""Columns whose values hardly ever repeat: a dictionary of them is made for nothing."""


class RowGroups:
    """Writes tables to one Parquet file, each in a thread while the next one is made; a context manager."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = parquet.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=[name for name in schema.names if name not in ALL_DIFFERENT],
            write_statistics=[name for name in schema.names if name != "text"],
        )
        self._beside = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def write(self, table: pa.Table, row_group_rows: int) -> None:
        """Begin to write a table, once the one before it is written.

        Raises:
            OSError: the one before could not be written.
        """
        self._finish()
        self._writing = self._beside.submit(self._writer.write_table, table, row_group_size=row_group_rows)

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._beside.shutdown()
            self._writer.close()


class TableWriter:
    """Writes rows to one Parquet file; a context manager. A row group ends by rows or by text, whichever is first."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._groups = RowGroups(path, schema)
        self._tables: list[pa.Table] = []
        self._rows = self._text_bytes = 0

    def extend(self, table: pa.Table) -> None:
        """Add the rows of a table of the same schema."""
        while table.num_rows:
            count, text_bytes = self._fitting(table)
            self._tables.append(table.slice(0, count))
            self._rows += count
            self._text_bytes += text_bytes
            if self._rows >= ROW_GROUP_ROWS or self._text_bytes >= ROW_GROUP_TEXT_BYTES:
                self._flush()
            table = table.slice(count)

    def _fitting(self, table: pa.Table) -> tuple[int, int]:
        """Return how many rows the group still takes, and the bytes of their texts."""
        count = min(table.num_rows, ROW_GROUP_ROWS - self._rows)
        if "text" not in table.column_names:
            return count, 0
        sizes = pc.binary_length(table["text"].slice(0, count)).to_numpy()
        ends = np.cumsum(sizes, dtype=np.int64)
        # The row that fills the group is its last.
        count = min(count, int(np.searchsorted(ends, ROW_GROUP_TEXT_BYTES - self._text_bytes)) + 1)
        return count, int(ends[count - 1])

    def _flush(self) -> None:
        if self._rows:
            # In one piece: pages end where the pieces do.
            whole = pa.concat_tables(self._tables).combine_chunks()
            self._groups.write(whole, self._rows)
        self._tables.clear()
        self._rows = self._text_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._groups.__exit__(kind, error, trace)
            return
        with self._groups:
            self._flush()
