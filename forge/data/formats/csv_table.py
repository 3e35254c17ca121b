"""CSV and TSV: a document a row where there is a column `text`; the table as one document where there is none."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

from forge.data.decode import file_text
from forge.data.formats.items import Content, Document, Item, Unreadable
from forge.data.formats.records import record
from forge.data.formats.spreadsheet_text import row_text

DELIMITERS = "\t;,|"
"""In a tie the first: a comma stands in prose as well."""
SAMPLE_ROWS = 20
SAMPLE_CHARACTERS = 65_536

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
    """Return the delimiter that cuts each of the first rows into the most cells."""
    return max(DELIMITERS, key=lambda mark: _fewest_cells(text[:SAMPLE_CHARACTERS], mark))


def _fewest_cells(sample: str, mark: str) -> int:
    """Return the cells of the shortest of the first rows; a row goes on where a quoted cell has lines of its own."""
    rows = csv.reader(io.StringIO(sample, newline=""), delimiter=mark)
    counts = [len(row) for row in itertools.islice(rows, SAMPLE_ROWS) if row]
    if len(counts) < SAMPLE_ROWS and len(sample) == SAMPLE_CHARACTERS:
        counts = counts[:-1]  # cut off
    return min(counts, default=0)
