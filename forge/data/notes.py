"""What a worker notes of the documents it passed on. The file that holds the notes of a task says that it is done."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from forge.data.versions import Dated
from forge.data.word_codes import Uint64

COLUMNS: dict[str, pa.DataType] = {
    "document_ids": pa.string(),
    "sources": pa.string(),
    "paths": pa.string(),
    "dates": pa.string(),
    "sizes_bytes": pa.int64(),
    "words": pa.int64(),
    "levelled": pa.binary(),
    "shingle_counts": pa.int64(),
    "texts": pa.binary(16),
    "sets": pa.binary(16),
}
"""Notes with a value for each document, where they were asked for."""
SAME = frozenset({"sources", "dates"})
"""Of few different values: each is in memory once."""
HEADER = b"forge"


@dataclass
class Notes:
    """What is known of the documents a worker passed on, in its order."""

    number: int
    documents_in: int = 0
    offsets: list[int] = field(default_factory=list)
    """Where in the file of texts each bucket begins, and where the last ends."""
    document_ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    levelled: list[bytes] = field(default_factory=list)
    paragraphs: list[Uint64] = field(default_factory=list)
    versions: list[Dated] = field(default_factory=list)
    lines: dict[str, Counter[bytes]] = field(default_factory=dict)
    line_documents: Counter[str] = field(default_factory=Counter)
    shingle_counts: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """What each text is known by, where its shingles are noted."""
    sets: list[bytes] = field(default_factory=list)
    """What each text's set of shingles is known by."""
    shingled: int = 0
    """Texts whose shingles no earlier corpus has."""
    aside: list[tuple[Any, ...]] = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)


def write_notes(path: Path, notes: Notes) -> None:
    """Write notes to a file."""
    columns = {
        name: pa.array(values, kind) for name, kind in COLUMNS.items() if (values := getattr(notes, name))
    }
    if notes.paragraphs:
        borders = np.cumsum([0, *(len(one) for one in notes.paragraphs)])
        columns["paragraphs"] = pa.LargeListArray.from_arrays(borders, np.concatenate(notes.paragraphs))
    rest = {
        "number": notes.number,
        "documents_in": notes.documents_in,
        "offsets": notes.offsets,
        "shingled": notes.shingled,
        "lines": {
            group: {line.hex(): count for line, count in lines.items()}
            for group, lines in notes.lines.items()
        },
        "line_documents": notes.line_documents,
        "versions": [_packed(one) for one in notes.versions],
        "aside": notes.aside,
        "changes": notes.changes,
    }
    table = pa.table(columns).replace_schema_metadata({HEADER: json.dumps(rest)})
    with ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def read_notes(path: Path) -> Notes | None:
    """Return the notes in a file; None where there are none, or not whole."""
    try:
        with pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
            table = file.read_all()
            rest = json.loads(table.schema.metadata[HEADER])
            columns: dict[str, Any] = {
                name: table[name].to_pylist() for name in COLUMNS if name in table.column_names
            }
            for name in SAME.intersection(columns):
                columns[name] = list(map(sys.intern, columns[name]))
            if "paragraphs" in table.column_names:
                columns["paragraphs"] = [np.array(one, np.uint64) for one in table["paragraphs"].to_pylist()]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return Notes(
        number=rest["number"],
        documents_in=rest["documents_in"],
        offsets=rest["offsets"],
        shingled=rest["shingled"],
        lines={
            group: Counter({bytes.fromhex(line): count for line, count in lines.items()})
            for group, lines in rest["lines"].items()
        },
        line_documents=Counter(rest["line_documents"]),
        versions=[_unpacked(one) for one in rest["versions"]],
        aside=[tuple(row) for row in rest["aside"]],
        changes=[tuple(row) for row in rest["changes"]],
        **columns,
    )


def _packed(one: Dated) -> list[Any]:
    day = None if one.day is None else one.day.isoformat()
    return [one.source, one.path, one.part, one.title, one.version, day, one.talk]


def _unpacked(values: list[Any]) -> Dated:
    source, path, part, title, version, day, talk = values
    return Dated(
        source, path, part, title, tuple(version), None if day is None else date.fromisoformat(day), talk
    )
