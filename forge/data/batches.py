"""Files in batches: what one worker reads at a time, and the rows that come of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge.data.formats.items import Document, Skipped, Unreadable
from forge.data.listing import SourceFile
from forge.data.reading import FileReader
from forge.data.remote import is_address
from forge.data.rows import DOCUMENTS, SET_ASIDE, aside_row, document_row
from forge.data.sources import fetched

BATCH_FILES = 256
BATCH_BYTES = 8 * 1024 * 1024
"""Of files: enough for a worker to be busy, few enough to be read again when one of them brings it down."""
TABLE_ROWS = 4_096
TABLE_TEXT_BYTES = 16 * 1024 * 1024

ROWS = pa.schema(
    [field.with_nullable(True) for field in DOCUMENTS]
    + [SET_ASIDE.field(name).with_nullable(True) for name in ("reason", "detail")]
)
"""Rows of both tables in the order they were read; `reason` tells them apart."""


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file to read."""

    file: SourceFile
    earlier: int
    """How many earlier sources have a file of this path."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one source that are read together."""

    source: str
    files: tuple[BatchFile, ...]
    export_root: str | None = None
    """For the files of one Slack export that lies unpacked: its folder, '' or with a slash at its end."""

    @property
    def bytes(self) -> int:
        """Bytes of its files."""
        return sum(entry.file.bytes for entry in self.files)


UNSETTLED = frozenset({"unreadable", "time limit", "memory limit", "reader crashed"})
"""Reasons that another try may not find: they are of the machine as well as of the file."""


@dataclass(slots=True)
class UnitCounts:
    """What was found in a file, or in a Slack export that lies unpacked."""

    documents: int = 0
    set_aside: int = 0
    files: int = 0
    files_with_documents: int = 0
    is_settled: bool = True
    """Another try would find the same."""


def batch_to_json(batch: Batch) -> dict[str, Any]:
    """Return a form of a batch that JSON has."""
    return {
        "source": batch.source,
        "export_root": batch.export_root,
        "files": [[*dataclasses.astuple(entry.file), entry.earlier] for entry in batch.files],
    }


def batch_from_json(value: dict[str, Any]) -> Batch:
    """Return what `batch_to_json` was made of."""
    files = tuple(BatchFile(SourceFile(*facts), earlier) for *facts, earlier in value["files"])
    return Batch(value["source"], files, value["export_root"])


def in_batches(source: str, files: Iterable[BatchFile]) -> Iterator[Batch]:
    """Yield the files of a source in batches, a large file alone. Where a batch ends depends on the files alone."""
    waiting: list[BatchFile] = []
    size_bytes = 0
    for entry in files:
        if waiting and (len(waiting) >= BATCH_FILES or size_bytes + entry.file.bytes > BATCH_BYTES):
            yield Batch(source, tuple(waiting))
            waiting, size_bytes = [], 0
        waiting.append(entry)
        size_bytes += entry.file.bytes
    if waiting:
        yield Batch(source, tuple(waiting))


def read_batch(
    batch: Batch,
    parameters: Mapping[str, Any],
    on_unit: Callable[[int, str, int], None],
    failed: Mapping[tuple[int, str], tuple[str, str]],
    may_risk: bool,
    units: list[UnitCounts],
) -> Iterator[pa.Table]:
    """Yield the rows of a batch in tables of `ROWS`, and count them.

    Args:
        batch: what to read.
        parameters: `max_file_bytes`, `metadata_allow`, `ocr` and `records` of the lake stage.
        on_unit: told the place of the file in the batch, the path below it and the bytes of what is read next.
        failed: by place and path below the file, what must not be read again, and why.
        may_risk: see `forge.data.reading.FileReader`.
        units: gets what was found in each file, in the order of the rows.
    """
    rows: list[dict[str, Any]] = []
    text_bytes = 0
    for entry, inside, item in _items(batch, parameters, on_unit, failed, may_risk, units):
        unit = units[-1]
        if isinstance(item, Skipped):
            unit.set_aside += 1
            unit.is_settled &= item.reason not in UNSETTLED
            rows.append(aside_row(batch.source, entry.file.relative, inside, item))
        else:
            row = document_row(batch.source, entry.file.relative, inside, entry.earlier, item)
            unit.documents += 1
            text_bytes += row["bytes"]
            rows.append(row)
        if len(rows) >= TABLE_ROWS or text_bytes >= TABLE_TEXT_BYTES:
            yield pa.Table.from_pylist(rows, schema=ROWS)
            rows, text_bytes = [], 0
    if rows:
        yield pa.Table.from_pylist(rows, schema=ROWS)


def _items(
    batch: Batch,
    parameters: Mapping[str, Any],
    on_unit: Callable[[int, str, int], None],
    failed: Mapping[tuple[int, str], tuple[str, str]],
    may_risk: bool,
    units: list[UnitCounts],
) -> Iterator[tuple[BatchFile, str, Document | Skipped]]:
    def reader_at(place: int) -> FileReader:
        return FileReader(
            parameters["max_file_bytes"],
            parameters["metadata_allow"] or {},
            lambda inside, size_bytes: on_unit(place, inside, size_bytes),
            {inside: why for (at, inside), why in failed.items() if at == place},
            may_risk,
            parameters.get("ocr", False),
            parameters.get("records", "text"),
        )

    if batch.export_root is not None:
        reader = reader_at(0)
        by_name = {entry.file.relative: entry for entry in batch.files}
        read = functools.partial(_whole, by_name, parameters["max_file_bytes"])
        units.append(UnitCounts())
        for name, item in reader.read_export(batch.export_root, list(by_name), read, batch.bytes):
            yield by_name[name], "", item
        units[-1].files, units[-1].files_with_documents = reader.files, reader.files_with_documents
        return
    for place, entry in enumerate(batch.files):
        reader = reader_at(place)
        units.append(UnitCounts())
        for inside, item in _read(reader, entry.file, parameters["max_file_bytes"]):
            yield entry, inside, item
        units[-1].files, units[-1].files_with_documents = reader.files, reader.files_with_documents


def _whole(by_name: Mapping[str, BatchFile], max_file_bytes: int, name: str) -> bytes:
    """Return the bytes of a file of an export.

    Raises:
        Unreadable: why it can't be read.
    """
    file = by_name[name].file
    if file.problem:
        raise Unreadable(file.problem, file.detail)
    if file.bytes > max_file_bytes:
        raise Unreadable("too large", _too_large(file, max_file_bytes))
    try:
        with fetched(file) as path:
            return path.read_bytes()
    except OSError as error:
        raise Unreadable("unreadable", error.strerror or str(error)) from None


def _too_large(file: SourceFile, max_file_bytes: int) -> str:
    return f"{file.bytes} bytes, data.max_file_bytes is {max_file_bytes}"


def _read(
    reader: FileReader, file: SourceFile, max_file_bytes: int
) -> Iterator[tuple[str, Document | Skipped]]:
    if file.problem:
        yield "", reader.set_aside(file.problem, file.detail)
        return
    if file.bytes > max_file_bytes:
        yield "", reader.set_aside("too large", _too_large(file, max_file_bytes))
        return
    if not is_address(file.location):
        yield from reader.read(file.relative, Path(file.location), file.bytes)
        return
    try:
        with fetched(file) as path:
            yield from reader.read(file.relative, path, file.bytes)
    except OSError as error:
        yield "", reader.set_aside("unreadable", error.strerror or str(error))
