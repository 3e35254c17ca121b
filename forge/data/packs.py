"""Packs: the rows that were read of one batch of files, in one file that is whole or not there.

Arrow IPC stream of `batches.ROWS` · what was counted, as JSON · length of the JSON, 8 bytes · MARK
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge.data.batches import ROWS, Batch, UnitCounts
from forge.data.remote import is_address

MARK = b"forgepak"
TAIL_BYTES = 8 + len(MARK)


def pack_name(batch: Batch) -> str:
    """Return the name of the pack of a batch: of its files as they were listed."""
    digest = hashlib.sha256(f"{batch.source}\0{batch.export_root}".encode())
    for entry in batch.files:
        digest.update(repr((dataclasses.astuple(entry.file), entry.earlier)).encode())
    return digest.hexdigest()[:32]


def write_pack(path: Path, tables: Iterator[pa.Table], batch: Batch, units: list[UnitCounts]) -> None:
    """Write the rows of a batch, and what has then been counted of it.

    A pack whose files changed while they were read is not found again.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with pa.OSFile(str(beside), "wb") as file:
            with pa.ipc.new_stream(file, ROWS) as rows:
                for table in tables:
                    rows.write_table(table)
            tail = json.dumps(
                {"units": [dataclasses.astuple(unit) for unit in units], "steady": _is_steady(batch)}
            ).encode()
            file.write(tail + len(tail).to_bytes(8, "little") + MARK)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def find_pack(path: Path) -> list[UnitCounts] | None:
    """Return what was counted of a batch whose pack an earlier run wrote; None where there is none to be trusted."""
    try:
        found = _tail(path)
    except (OSError, ValueError):
        return None
    return pack_units(path) if found is not None and found["steady"] else None


def pack_units(path: Path) -> list[UnitCounts]:
    """Return what was counted of a batch whose pack was written just now."""
    found = _tail(path)
    assert found is not None
    return [UnitCounts(*unit) for unit in found["units"]]


def pack_rows(path: Path) -> Iterator[pa.Table]:
    """Yield the rows of a pack."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield pa.Table.from_batches([batch])


def _tail(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        if size_bytes < TAIL_BYTES:
            return None
        file.seek(size_bytes - TAIL_BYTES)
        tail = file.read()
        length = int.from_bytes(tail[:8], "little")
        if tail[8:] != MARK or length > size_bytes - TAIL_BYTES:
            return None
        file.seek(size_bytes - TAIL_BYTES - length)
        found: dict[str, Any] = json.loads(file.read(length))
        return found


def _is_steady(batch: Batch) -> bool:
    """True where each file still has the size and time of change it was listed with."""
    for entry in batch.files:
        file = entry.file
        if file.problem or is_address(file.location):
            continue
        try:
            facts = Path(file.location).stat()
        except OSError:
            return False
        if (facts.st_size, facts.st_mtime_ns) != (file.bytes, file.mtime_ns):
            return False
    return True
