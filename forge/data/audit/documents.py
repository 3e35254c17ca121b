"""The documents of a lake as the audit sees them: one light record each, texts streamed and let go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.versions import is_talk
from forge.errors import StageError
from forge.progress import Progress

READ_ROWS = 256

COLUMNS = (
    "document_id",
    "source",
    "path",
    "part",
    "mime",
    "title",
    "language",
    "text",
    "bytes",
    "created",
    "modified",
)
PROSE = ("text/x-rst", "text/x-tex")
"""Types named like those of source code."""


@dataclass(frozen=True, slots=True)
class Text:
    """One row of the lake."""

    number: int
    """Place in the lake, from 0: what findings name documents by."""
    document_id: str
    source: str
    path: str
    part: int
    mime: str
    title: str
    language: str | None
    text: str
    size_bytes: int
    created: date | None
    modified: date | None
    """What the document says of itself; never the file's time, which copying changes."""

    @property
    def is_chat(self) -> bool:
        """Whether it is talk: messages and mail."""
        return is_talk(self.mime)

    @property
    def is_code(self) -> bool:
        """Whether it is source code, and no prose with marks."""
        if self.mime in PROSE:
            return False
        return self.mime.startswith("text/x-") or self.mime in ("application/json", "application/javascript")


def lake_texts(lake: Path, progress: Progress) -> Iterator[Text]:
    """Yield the documents of a lake in its order, a few in memory at a time.

    Raises:
        StageError: there is no whole lake.
    """
    try:
        file = parquet.ParquetFile(lake / "lake.parquet")
    except (OSError, pa.ArrowException) as error:
        raise StageError(
            f"{lake}: not a whole lake ({str(error).splitlines()[0]}): run the audit again"
        ) from None
    with file:
        progress.start(file.metadata.num_rows, "documents")
        number = 0
        for batch in file.iter_batches(READ_ROWS, columns=COLUMNS):
            for row in batch.to_pylist():
                yield _text(number, row)
                number += 1
                progress.advance()


def _text(number: int, row: dict[str, Any]) -> Text:
    return Text(
        number,
        row["document_id"],
        row["source"],
        row["path"],
        row["part"],
        row["mime"],
        row["title"],
        row["language"],
        row["text"],
        row["bytes"],
        _day(row["created"]),
        _day(row["modified"]),
    )


def _day(time: str | None) -> date | None:
    return None if time is None else date.fromisoformat(time[: len("2024-01-05")])


def set_aside(lake: Path) -> list[dict[str, Any]]:
    """Return the rows of what could not be read: source, path, part, reason, detail."""
    rows: list[dict[str, Any]] = parquet.read_table(lake / "set_aside.parquet").to_pylist()
    return rows
