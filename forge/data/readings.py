"""What earlier lakes read of the same files: an unchanged file is not read again.

A lake keeps readings.parquet: for each unit of reading (a file, or a Slack export that lies unpacked) its identity and
where its rows are in lake.parquet and set_aside.parquet. The identity is of the file's content, its path and how it is
read, so the rows are those that reading it again would give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.batches import Batch, BatchFile, UnitCounts
from forge.data.columns import digest_keys
from forge.data.fingerprint import Hashes
from forge.data.word_codes import Uint64

READINGS = pa.schema(
    [
        pa.field("identity", pa.binary(16), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("set_aside", pa.int64(), nullable=False),
        pa.field("files", pa.int64(), nullable=False),
        pa.field("files_with_documents", pa.int64(), nullable=False),
        pa.field("first_document", pa.int64(), nullable=False),
        pa.field("first_set_aside", pa.int64(), nullable=False),
    ]
)
FILE = "readings.parquet"
HOW = b"forge_how"
MOST_LAKES = 4
"""Earlier lakes that are looked into, newest first."""


def units_of(batch: Batch) -> list[tuple[BatchFile, ...]]:
    """Return the files of a batch by what is read as one."""
    return [batch.files] if batch.export_root is not None else [(entry,) for entry in batch.files]


def identity(batch: Batch, unit: Sequence[BatchFile], hashes: Hashes) -> bytes | None:
    """Return what identifies a unit and its content; None where the content is not known without reading it."""
    digest = hashlib.sha256(f"{batch.source}\0{batch.export_root}".encode())
    for entry in unit:
        file = entry.file
        if file.problem == "unreadable":
            return None
        content = f"{file.problem} {file.detail}" if file.problem else hashes.get(file)
        if content is None:
            return None
        digest.update(f"\0{file.relative}\0{entry.earlier}\0{file.bytes}\0{content}".encode())
    return digest.digest()[:16]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where an earlier lake has the rows of a unit."""

    lake: EarlierLake
    counts: UnitCounts
    first_document: int
    first_set_aside: int


class EarlierLake:
    """A lake artifact whose readings are used."""

    def __init__(self, folder: Path) -> None:
        with parquet.ParquetFile(folder / FILE, memory_map=True) as file:
            table = file.read()
        keys = digest_keys(table["identity"])
        self._order = np.lexsort((keys[:, 1], keys[:, 0]))
        self._keys = keys[self._order]
        self._columns = np.stack([table[name].to_numpy() for name in READINGS.names[1:]], axis=1)
        self.documents = _Rows(folder / "lake.parquet").rows
        self.set_aside = _Rows(folder / "set_aside.parquet").rows

    def find(self, keys: Uint64) -> list[Reading | None]:
        """Return the readings of some units, (n, 2)."""
        found: list[Reading | None] = [None] * len(keys)
        if not len(self._keys):
            return found
        # Two units that share 64 bits of a hash: the second of them is read again.
        places = np.minimum(np.searchsorted(self._keys[:, 0], keys[:, 0]), len(self._keys) - 1)
        there = np.flatnonzero((self._keys[places] == keys).all(axis=1))
        rows = self._columns[self._order[places[there]]].tolist()
        for place, (*counts, document, aside) in zip(there.tolist(), rows, strict=True):
            found[place] = Reading(self, UnitCounts(*counts), document, aside)
        return found


def earlier_lakes(folders: Sequence[Path], how: str) -> list[EarlierLake]:
    """Return those of lake artifacts, newest first, that read as `how` says; a damaged one is left out."""
    dated = []
    for folder in folders:
        try:
            metadata = parquet.read_schema(folder / FILE).metadata or {}
            if metadata.get(HOW) == how.encode():
                dated.append(((folder / FILE).stat().st_mtime_ns, folder))
        except (OSError, pa.ArrowException):
            continue
    found = []
    for _, folder in sorted(dated, reverse=True)[:MOST_LAKES]:
        try:
            found.append(EarlierLake(folder))
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue
    return found


class Readings:
    """Finds what is known of the files of a lake in the making, and writes down what that lake reads."""

    def __init__(self, lakes: Sequence[EarlierLake], hashes: Hashes, how: str) -> None:
        """Args: `how` names the code and the parameters that decide what comes of a file."""
        self._lakes, self._hashes, self._how = lakes, hashes, how
        self._noted: list[tuple[Any, ...]] = []
        self._tables: list[pa.Table] = []

    def identify(self, batch: Batch) -> list[bytes | None]:
        """Return the identity of each unit of a batch."""
        return [identity(batch, unit, self._hashes) for unit in units_of(batch)]

    def find(self, keys: Sequence[bytes | None]) -> list[Reading | None]:
        """Return what an earlier lake read of each of some units."""
        found: list[Reading | None] = [None] * len(keys)
        left = [place for place, key in enumerate(keys) if key is not None]
        for lake in self._lakes:
            wanted = np.frombuffer(b"".join(filter(None, (keys[place] for place in left))), np.uint64)
            for place, reading in zip(left, lake.find(wanted.reshape(-1, 2)), strict=True):
                found[place] = reading
            left = [place for place in left if found[place] is None]
        return found

    def note(self, key: bytes | None, counts: UnitCounts, first_document: int, first_set_aside: int) -> None:
        """Note where the rows of a unit are."""
        if key is None or not counts.is_settled:
            return
        found = counts.documents, counts.set_aside, counts.files, counts.files_with_documents
        self._noted.append((key, *found, first_document, first_set_aside))
        if len(self._noted) >= 10_000:
            self._pack()

    def _pack(self) -> None:
        columns: list[Any] = list(zip(*self._noted, strict=True)) or [()] * len(READINGS)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, READINGS.types, strict=True)]
        self._tables.append(pa.table(arrays, schema=READINGS))
        self._noted.clear()

    def write(self, out: Path) -> None:
        """Write readings.parquet."""
        self._pack()
        table = pa.concat_tables(self._tables).replace_schema_metadata({HOW: self._how})
        parquet.write_table(table, out / FILE, compression="zstd")


class _Rows:
    """The rows of a Parquet file, read about in order."""

    def __init__(self, path: Path) -> None:
        self._file = parquet.ParquetFile(path)
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._borders = np.cumsum([0, *counts])
        self._group = -1
        self._table: pa.Table = None

    def rows(self, first: int, count: int) -> Iterator[pa.Table]:
        """Yield `count` rows from `first` on."""
        while count:
            group = int(np.searchsorted(self._borders, first, side="right")) - 1
            if group != self._group:
                self._table, self._group = self._file.read_row_group(group), group
            begin = first - int(self._borders[group])
            part = self._table.slice(begin, count)
            yield part
            first += part.num_rows
            count -= part.num_rows
