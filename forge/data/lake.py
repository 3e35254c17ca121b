"""The lake stage: every document of the sources as it is, and every one that could not be read, with why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from forge.data.decode import encodable
from forge.data.metadata import metadata_json, refusal
from forge.data.readers import READERS, Document, Skipped
from forge.data.sources import SourceFile, list_files
from forge.data.tables import TableWriter
from forge.errors import StageError
from forge.progress import Progress

ID_HEX_DIGITS = 16

DOCUMENTS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("part", pa.int64(), nullable=False),
        pa.field("mime", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("language", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
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


def build_lake(
    sources: Sequence[str], parameters: dict[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    """Read all documents of `sources`; write lake.parquet and set_aside.parquet to `out`.

    Files seen = files that yielded a document + files that did not; each of the latter is in set_aside.parquet.
    Rows are in the order of the sources, then of the relative paths. A document's id depends on its path below the
    source, its part and its text, not on where the source lies.

    Raises:
        StageError: there is no source, one is not there, or none of the files yields a document.
    """
    if not sources:
        raise StageError("lake: no source given: set data.path to a folder or file of documents")
    listings = [(source, list_files(source)) for source in sources]
    progress.start(sum(file.bytes for _, files in listings for file in files), "bytes")
    set_aside: Counter[str] = Counter()
    files_set_aside = documents = text_bytes = 0
    ids_taken: Counter[str] = Counter()
    with (
        TableWriter(out / "lake.parquet", DOCUMENTS) as lake,
        TableWriter(out / "set_aside.parquet", SET_ASIDE) as aside,
    ):
        for source, files in listings:
            for file in files:
                documents_before = documents
                for item in _read(file, parameters["max_file_bytes"], parameters["metadata_allow"]):
                    if isinstance(item, Skipped):
                        set_aside[item.reason] += 1
                        aside.append(_aside_row(source, file, item))
                    else:
                        row = _row(source, file, item, ids_taken)
                        documents += 1
                        text_bytes += row["bytes"]
                        lake.append(row)
                files_set_aside += documents == documents_before
                progress.advance(file.bytes)
    seen = sum(len(files) for _, files in listings)
    if documents == 0:
        raise StageError(_nothing_read(sources, seen, set_aside))
    return {
        "files": seen,
        "files_with_documents": seen - files_set_aside,
        "files_set_aside": files_set_aside,
        "documents": documents,
        "bytes": text_bytes,
        "set_aside": dict(sorted(set_aside.items())),
    }


def _read(file: SourceFile, max_file_bytes: int, allow: dict[str, list[Any]]) -> Iterator[Document | Skipped]:
    """Yield what `file` holds; at least one item, a file of nothing being set aside as empty."""
    extension = PurePosixPath(file.relative).suffix.lower()
    reader = READERS.get(extension)
    if file.problem:
        yield Skipped(0, file.problem, file.detail)
    elif reader is None:
        yield Skipped(0, "unsupported format", f"read are {', '.join(READERS)}")
    elif file.bytes > max_file_bytes:
        yield Skipped(0, "too large", f"{file.bytes} bytes, data.max_file_bytes is {max_file_bytes}")
    else:
        anything = False
        try:
            for item in reader(file.absolute):
                anything = True
                yield item if isinstance(item, Skipped) else _refusal(item, allow) or item
        except OSError as error:
            yield Skipped(0, "unreadable", error.strerror or str(error))
            return
        if not anything:
            yield Skipped(0, "empty", "no document in the file")


def _refusal(document: Document, allow: dict[str, list[Any]]) -> Skipped | None:
    if not document.text.strip():
        return Skipped(document.part, "empty", "no text but white space")
    found = refusal(document.metadata, allow)
    return None if found is None else Skipped(document.part, *found)


def _row(source: str, file: SourceFile, document: Document, ids_taken: Counter[str]) -> dict[str, Any]:
    content = document.text.encode()
    digest = hashlib.sha256(content).hexdigest()
    name = f"{file.relative}\0{document.part}\0{digest}"
    document_id = _short_hash(name)
    # The same text under the same path in two sources: two documents, two ids.
    taken = ids_taken[document_id]
    ids_taken[document_id] += 1
    if taken:
        document_id = _short_hash(f"{name}\0{taken}")
    return {
        "document_id": document_id,
        "source": source,
        "path": file.relative,
        "part": document.part,
        "mime": document.mime,
        "title": encodable(document.title) or PurePosixPath(file.relative).stem,
        "language": document.language,
        "text": document.text,
        "sha256": digest,
        "bytes": len(content),
        "metadata": metadata_json(document.metadata),
    }


def _short_hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:ID_HEX_DIGITS]


def _aside_row(source: str, file: SourceFile, item: Skipped) -> dict[str, Any]:
    return {
        "source": source,
        "path": file.relative,
        "part": item.part,
        "reason": item.reason,
        "detail": encodable(item.detail),
    }


def _nothing_read(sources: Sequence[str], seen: int, reasons: Counter[str]) -> str:
    where = ", ".join(sources)
    if not seen:
        return f"lake: {where}: no files: put documents ({' '.join(READERS)}) there"
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"lake: {where}: no document in {seen} files ({counts}): give documents as {' '.join(READERS)}"
