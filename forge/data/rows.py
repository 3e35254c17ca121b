"""The rows of a lake: what `schemas/lake.schema.json` describes."""

from __future__ import annotations

import functools
import hashlib
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from forge.data.decode import encodable
from forge.data.formats.items import Document, Skipped
from forge.data.metadata import metadata_json

ID_HEX_DIGITS = 16

DOCUMENTS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("mime", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("author", pa.string()),
        pa.field("created", pa.string()),
        pa.field("modified", pa.string()),
        pa.field("language", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("version", pa.string()),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
SET_ASIDE = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

MAX_DETAIL_CHARACTERS = 500
"""A library's message may quote half the file."""


def document_row(source: str, path: str, inside: str, earlier: int, document: Document) -> dict[str, Any]:
    """Return the row of a document.

    Its id depends on its path below the source, its part and its text, not on where the source lies.

    Args:
        source: as the spec names it.
        path: of the file, below the source.
        inside: below the file, for a file inside it; '' for the file itself.
        earlier: how many earlier sources have a file of this path: its documents may be the same, and are others.
        document: what was read.
    """
    content = document.text.encode()
    digest = hashlib.sha256(content).hexdigest()
    # A path of a file inside an archive could else be that of a file in a folder of the archive's name.
    name = f"{path}\0{document.part}\0{digest}" + (f"\0\0{inside}" if inside else "")
    full = f"{path}/{inside}" if inside else path
    return {
        "document_id": _short_hash(f"{name}\0{earlier}" if earlier else name),
        "source": source,
        "path": full,
        "part": document.part,
        "mime": document.mime,
        "title": encodable(document.title) or _stem(full),
        "author": _encodable(document.author),
        "created": document.created,
        "modified": document.modified,
        "language": _encodable(document.language),
        "text": document.text,
        "sha256": digest,
        "bytes": len(content),
        "group": _encodable(document.group),
        "version": _encodable(document.version),
        "metadata": metadata_json(document.metadata),
    }


def aside_row(source: str, path: str, inside: str, item: Skipped) -> dict[str, Any]:
    """Return the row of what was set aside; arguments as `document_row`."""
    return {
        "source": source,
        "path": f"{path}/{inside}" if inside else path,
        "part": item.part,
        "reason": item.reason,
        "detail": encodable(" ".join(item.detail.split()))[:MAX_DETAIL_CHARACTERS] or item.reason,
    }


@functools.lru_cache(maxsize=64)
def _stem(path: str) -> str:
    """Return the name of a file without its suffix; a file of records asks for it as often as it has records."""
    return PurePosixPath(path).stem


def _encodable(text: str | None) -> str | None:
    return None if text is None else encodable(text)


def _short_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:ID_HEX_DIGITS]
