"""TensorBoard event files, written without TensorBoard: a record format and three protobuf messages.

A record is its length (uint64), the masked CRC-32C of the length, the data, the masked CRC-32C of the data, all little
endian (TensorFlow, `core/lib/io/record_writer.h`). The data is an `Event` message: wall_time = 1 (double), step = 2,
file_version = 3, summary = 5; a `Summary` holds values = 1, each with tag = 1 and simple_value = 2 (float)
(`core/util/event.proto`, `core/framework/summary.proto`).
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed."""

_MASK = 0xA282EAD8


class TensorBoardFile:
    """One attempt's file in `folder`; TensorBoard shows all files of a folder as one curve."""

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1_000_000_000:010d}.forge.{os.getpid()}"
        self._path = folder / name
        self._append(_double(1, time.time()) + _text(3, "brain.Event:2"))
        # Session log (7), status START (1): what earlier attempts wrote of this step and later ones no longer counts.
        self._append(_double(1, time.time()) + _integer(2, first_step) + _bytes(7, _integer(1, 1)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Append the `values` of a step, by tag."""
        summary = b"".join(
            _bytes(1, _text(1, tag) + struct.pack("<Bf", 2 << 3 | 5, value)) for tag, value in values.items()
        )
        self._append(_double(1, time.time()) + _integer(2, step) + _bytes(5, summary))

    def _append(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        with self._path.open("ab") as file:
            file.write(length + _masked_crc(length) + data + _masked_crc(data))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data` (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    rotated = crc >> 15 | crc << 17 & 0xFFFFFFFF
    return struct.pack("<I", rotated + _MASK & 0xFFFFFFFF)


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _table()


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())
