"""One function a format, from a file to its documents. `READERS` says which extension is read by which."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.decode import DecodeError, decode, encodable
from forge.data.front_matter import FrontMatterError, split_front_matter
from forge.data.html import declared_charset, read_page

PARQUET_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Document:
    """One document as its file has it, newlines apart."""

    part: int
    """Line (jsonl) or row (Parquet) in the file, from 1; 0 when the file is the document."""
    text: str
    mime: str
    title: str = ""
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document, or a whole file (part 0), that could not be read, and why."""

    part: int
    reason: str
    """A stable short code."""
    detail: str


Reader = Callable[[Path], Iterator[Document | Skipped]]


def read_text(path: Path) -> Iterator[Document | Skipped]:
    """Read a plain text file as one document."""
    try:
        text, metadata = _file_text(path)
    except DecodeError as error:
        yield Skipped(0, error.reason, error.detail)
        return
    yield Document(0, text, "text/plain", metadata=metadata)


def read_markdown(path: Path) -> Iterator[Document | Skipped]:
    """Read a Markdown file as one document; front matter becomes metadata when it is some."""
    try:
        text, metadata = _file_text(path)
    except DecodeError as error:
        yield Skipped(0, error.reason, error.detail)
        return
    try:
        fields, body = split_front_matter(text)
    except FrontMatterError:
        fields, body = {}, text  # two rules across the page look the same, and are no fault of the document
    title = fields.get("title") or next((line[2:] for line in body.splitlines() if line.startswith("# ")), "")
    yield Document(0, body, "text/markdown", str(title).strip(), _language(fields), metadata | fields)


def read_licence(path: Path) -> Iterator[Document | Skipped]:
    """Read a licence text or rule of licensedcode-data: YAML front matter, then the text."""
    try:
        text, metadata = _file_text(path)
        fields, body = split_front_matter(text)
    except DecodeError as error:
        yield Skipped(0, error.reason, error.detail)
        return
    except FrontMatterError as error:
        yield Skipped(0, "broken front matter", str(error))
        return
    title = fields.get("name") or fields.get("key") or ""
    yield Document(0, body, "text/plain", str(title), _language(fields), metadata | fields)


def read_html(path: Path) -> Iterator[Document | Skipped]:
    """Read an HTML page as one document."""
    content = path.read_bytes()
    try:
        html, encoding = decode(content, declared_charset(content))
    except DecodeError as error:
        yield Skipped(0, error.reason, error.detail)
        return
    text, title, language = read_page(_newlines(html))
    yield Document(0, text, "text/html", title, language, _encoding_metadata(encoding))


def read_jsonl(path: Path) -> Iterator[Document | Skipped]:
    """Read JSON Lines: a document a line, its `text` the text, all other fields metadata. Blank lines are no lines."""
    with path.open("rb") as file:
        for part, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf") if part == 1 else line
            if not content.strip():
                continue
            try:
                # NaN and Infinity are not JSON; as words they do no harm.
                fields = json.loads(content.decode("utf-8"), parse_constant=str)
            except UnicodeDecodeError as error:
                yield Skipped(part, "undecodable", f"byte {error.start} of the line is not UTF-8")
            except (ValueError, RecursionError) as error:
                yield Skipped(part, "broken json", str(error))
            else:
                yield _record(part, fields, "application/jsonl")


def read_parquet(path: Path) -> Iterator[Document | Skipped]:
    """Read a Parquet file: a document a row, column `text` the text, all other columns metadata."""
    part = 0
    with path.open("rb") as content:
        try:
            file = parquet.ParquetFile(content)
            if "text" not in file.schema_arrow.names:
                yield Skipped(0, "no text field", f"columns: {', '.join(file.schema_arrow.names)}")
                return
            for batch in file.iter_batches(PARQUET_BATCH_ROWS):
                for fields in batch.to_pylist():
                    part += 1
                    yield _record(part, fields, "application/vnd.apache.parquet")
        # Arrow says OSError for damage as well; a true one has a number.
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = str(error).splitlines()[0]
            yield Skipped(0, "broken parquet", f"after row {part}: {reason}" if part else reason)


READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".md": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".license": read_licence,
    ".rule": read_licence,
}
"""By extension in lower case."""


def _file_text(path: Path) -> tuple[str, dict[str, Any]]:
    text, encoding = decode(path.read_bytes())
    return _newlines(text), _encoding_metadata(encoding)


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding_metadata(encoding: str) -> dict[str, Any]:
    return {} if encoding.startswith("utf") else {"encoding": encoding}


def _language(fields: dict[str, Any]) -> str | None:
    language = fields.get("language")
    return encodable(language) if isinstance(language, str) and language else None


def _record(part: int, fields: Any, mime: str) -> Document | Skipped:
    if not isinstance(fields, dict):
        return Skipped(part, "no text field", f"the line is a {type(fields).__name__}, not an object")
    text = fields.pop("text", None)
    if text is None:
        return Skipped(part, "no text field", f"fields: {', '.join(map(str, fields))}")
    if not isinstance(text, str):
        return Skipped(part, "no text field", f"`text` is a {type(text).__name__}")
    title = fields.get("title")
    return Document(
        part,
        _newlines(encodable(text)),
        mime,
        title if isinstance(title, str) else "",
        _language(fields),
        fields,
    )
