"""What a worker notes of the documents it passed on. The file that holds the notes of a task says that it is done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as ipc

NOTED: dict[str, pa.DataType] = {
    "document_id": pa.string(),
    "source": pa.string(),
    "path": pa.string(),
    "date": pa.string(),
    "mime": pa.string(),
    "title": pa.string(),
    "part": pa.int64(),
    "size_bytes": pa.int64(),
    "words": pa.int64(),
    "levelled": pa.binary(32),
    "lines": pa.large_list(pa.uint64()),
    "paragraphs": pa.large_list(pa.uint64()),
    "stated": pa.string(),
    "shingle_count": pa.int64(),
    "text": pa.binary(16),
    "shingles": pa.binary(16),
}
"""What may be noted of a document: `text` and `shingles` are what its text and its set of shingles are known by."""
ALWAYS = ("document_id", "source", "path", "date", "size_bytes")
OF: dict[str, tuple[str, ...]] = {
    "words": ("words",),
    "exact": ("levelled",),
    "lines": ("mime", "lines"),
    "paragraphs": ("paragraphs",),
    "versions": ("mime", "title", "part", "stated"),
    "shingles": ("shingle_count", "text", "shingles"),
}
"""What is asked for -> the columns that are noted for it, beside ALWAYS."""
HEADER = b"forge"


def noted_schema(wanted: frozenset[str]) -> pa.Schema:
    """Return the columns of what is noted where `wanted` is asked for."""
    names = {*ALWAYS, *(name for one in wanted for name in OF[one])}
    return pa.schema([(name, kind) for name, kind in NOTED.items() if name in names])


@dataclass
class Notes:
    """What is known of the documents a worker passed on, in its order."""

    number: int
    documents: pa.Table
    """A row for each, of `noted_schema`."""
    documents_in: int = 0
    offsets: list[int] = field(default_factory=list)
    """Where in the file of texts each bucket begins, and where the last ends."""
    shingled: int = 0
    """Texts whose shingles no earlier corpus has."""
    aside: list[tuple[Any, ...]] = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)


def write_notes(path: Path, notes: Notes) -> None:
    """Write notes to a file."""
    rest = {
        "number": notes.number,
        "documents_in": notes.documents_in,
        "offsets": notes.offsets,
        "shingled": notes.shingled,
        "aside": notes.aside,
        "changes": notes.changes,
    }
    table = notes.documents.replace_schema_metadata({HEADER: json.dumps(rest)})
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def read_notes(path: Path) -> Notes | None:
    """Return the notes in a file; None where there are none, or not whole."""
    try:
        with pa.OSFile(str(path)) as stored, ipc.open_file(stored) as file:
            table = file.read_all()
            rest = json.loads(table.schema.metadata[HEADER])
            return Notes(
                number=rest["number"],
                documents=table.replace_schema_metadata(None),
                documents_in=rest["documents_in"],
                offsets=rest["offsets"],
                shingled=rest["shingled"],
                aside=[tuple(row) for row in rest["aside"]],
                changes=[tuple(row) for row in rest["changes"]],
            )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
