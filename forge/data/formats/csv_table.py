"""CSV and TSV: a document a row where there is a column `text`; the table as one document where there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from forge.data.decode import file_text
from forge.data.formats.items import Content, Document, Item, Unreadable
from forge.data.formats.records import record
from forge.data.formats.spreadsheet_text import row_text

DELIMITERS = "\t;,|"
"""In a tie the first: a comma stands in prose as well."""
SAMPLE_LINES = 20

csv.field_size_limit(1 << 31)


def read_csv(content: Content) -> Iterator[Item]:
    """Read a delimited table of any of the usual delimiters."""
    text, metadata = file_text(content.read())
    delimiter = _delimiter(text)
    mime = "text/tab-separated-values" if delimiter == "\t" else "text/csv"
    try:
        yield from _documents(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), mime, metadata)
    except csv.Error as error:
        raise Unreadable("broken csv", str(error)) from None


def _documents(rows: Iterator[list[str]], mime: str, metadata: dict[str, Any]) -> Iterator[Item]:
    header = next(rows, [])
    names = [name.strip() for name in header]
    lowered = [name.lower() for name in names]
    if "text" in lowered:
        names[lowered.index("text")] = "text"
        for part, row in enumerate(rows, start=1):
            if row:
                yield record(part, dict(zip(names, row, strict=False)), mime)
        return
    lines = [row_text(dict(enumerate(row))) for row in (header, *rows)]
    yield Document(0, "\n".join(lines).strip("\n"), mime, metadata=metadata)


def _delimiter(text: str) -> str:
    """Return the delimiter that cuts the first lines into the same number of cells, the most of them."""
    lines = [line for line in text.split("\n", SAMPLE_LINES)[:SAMPLE_LINES] if line.strip()]
    return max(DELIMITERS, key=lambda mark: min((line.count(mark) for line in lines), default=0))
