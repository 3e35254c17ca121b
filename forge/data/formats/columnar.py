"""Parquet and Arrow files, those of Hugging Face `datasets` folders among them: a row is a document, or a conversation
or a preference where those are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.formats.items import Content, Document, Item, Records, Skipped, Unreadable
from forge.data.formats.records import record

BATCH_ROWS = 256


def read_parquet(content: Content) -> Iterator[Item]:
    """Read a Parquet file: column `text` is the text, all other columns metadata."""
    with content.open() as file:
        mime = "application/vnd.apache.parquet"
        yield from _rows(lambda: _parquet_batches(file), mime, "broken parquet", content.records)


def read_arrow(content: Content) -> Iterator[Item]:
    """Read an Arrow file or stream: column `text` is the text, all other columns metadata."""
    with content.open() as file:
        mime = "application/vnd.apache.arrow.file"
        yield from _rows(lambda: _arrow_batches(file), mime, "broken arrow", content.records)


def _parquet_batches(file: Any) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    opened = parquet.ParquetFile(file)
    return opened.schema_arrow, opened.iter_batches(BATCH_ROWS)


def _arrow_batches(file: Any) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    opened = pa.ipc.open_file(file) if is_file else pa.ipc.open_stream(file)
    if is_file:
        return opened.schema, (opened.get_batch(place) for place in range(opened.num_record_batches))
    return opened.schema, opened


def _rows(open_batches: Any, mime: str, reason: str, records: Records) -> Iterator[Document | Skipped]:
    part = 0
    try:
        schema, batches = open_batches()
        if records == "text" and "text" not in schema.names:
            raise Unreadable("no text field", f"columns: {', '.join(schema.names)}")
        for batch in batches:
            batch.validate()
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for fields in batch.slice(start, BATCH_ROWS).to_pylist():
                    part += 1
                    yield record(part, fields, mime, records)
    # Arrow says OSError for damage as well; a true one has a number.
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, pa.ArrowMemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        detail = str(error).splitlines()[0]
        raise Unreadable(reason, f"after row {part}: {detail}" if part else detail) from None
