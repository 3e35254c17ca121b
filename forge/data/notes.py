"""What a worker notes of the documents it passed on. The file that holds the notes of a task says that it is done.

What is noted of each document stays in the file, and is read a column at a time.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc

from forge.data.records import CHANGED, SET_ASIDE

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
    """What a worker says of a task, and where what it noted of each document is."""

    number: int
    path: Path
    """Of the file that has a row of `noted_schema` for each document that is left, in the worker's order."""
    documents_in: int = 0
    offsets: Sequence[int] = ()
    """Where in the file of texts each bucket begins, and where the last ends."""
    shingled: int = 0
    """Texts whose shingles no earlier corpus has."""
    aside: pa.Table = field(default_factory=SET_ASIDE.empty_table)
    changes: pa.Table = field(default_factory=CHANGED.empty_table)


def write_notes(path: Path, notes: Notes, documents: pa.Table) -> None:
    """Write notes, and what was noted of documents, to a file."""
    rest = {
        "number": notes.number,
        "documents_in": notes.documents_in,
        "offsets": list(notes.offsets),
        "shingled": notes.shingled,
        "aside": notes.aside.to_pydict(),
        "changes": notes.changes.to_pydict(),
    }
    table = documents.replace_schema_metadata({HEADER: json.dumps(rest)})
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def read_notes(path: Path) -> Notes | None:
    """Return the notes in a file; None where there are none, or not whole."""
    try:
        with pa.memory_map(str(path)) as stored, ipc.open_file(stored) as file:
            rest = json.loads(file.schema.metadata[HEADER])
        return Notes(
            number=rest["number"],
            path=path,
            documents_in=rest["documents_in"],
            offsets=array("q", rest["offsets"]),
            shingled=rest["shingled"],
            aside=pa.table(rest["aside"], SET_ASIDE),
            changes=pa.table(rest["changes"], CHANGED),
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None


def noted(notes: Sequence[Notes], names: Sequence[str]) -> pa.Table:
    """Return some columns of what was noted, of all documents, task after task; of no task a table without columns."""
    tables = []
    for one in notes:
        with pa.memory_map(str(one.path)) as stored, ipc.open_file(stored) as file:
            tables.append(file.read_all().replace_schema_metadata(None).select(names))
    # Copied: what is mapped of the files is then given back.
    return pa.concat_tables(tables).combine_chunks() if tables else pa.table({})


def noted_names(notes: Sequence[Notes]) -> list[str]:
    """Return which columns were noted."""
    if not notes:
        return []
    with pa.memory_map(str(notes[0].path)) as stored, ipc.open_file(stored) as file:
        names: list[str] = file.schema.names
        return names
