"""Fragments on disk: safetensors files that one rank writes and any rank of any layout can read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from forge.engine.fragments import KINDS, WEIGHT, Fragment

SHARD_BYTES = 128 * 1024 * 1024
"""The most a file holds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a run of one parameter's elements is."""

    name: str
    shape: tuple[int, ...]
    start: int
    numel: int
    file: str


@dataclass(frozen=True, slots=True)
class Shard:
    """A file as it was written."""

    name: str
    size_bytes: int
    sha256: str
    pieces: tuple[Piece, ...]


def write_shards(
    fragments: Iterable[Fragment],
    folder: Path,
    rank: int,
    first_number: int = 0,
    shard_bytes: int = SHARD_BYTES,
) -> list[Shard]:
    """Write this rank's `fragments` below `folder`, each file brought to disk; return what was written.

    Files are numbered from `first_number`: those that the rank has written before.

    Takes no memory beyond the fragments where they are on the host, and a tensor's copy where they are not. Hashing and
    writing leave the interpreter to other threads.

    Raises:
        OSError: the disk is full or can't be written.
    """
    shards = []
    for number, some in enumerate(_filled(fragments, shard_bytes), first_number):
        name = f"rank{rank:05d}-{number:05d}.safetensors"
        tensors = {
            _key(fragment.name, kind): fragment.values[kind] for fragment in some for kind in fragment.values
        }
        size_bytes, digest = _write_safetensors(folder / name, tensors)
        pieces = tuple(Piece(f.name, f.shape, f.start, f.numel, name) for f in some)
        shards.append(Shard(name, size_bytes, digest, pieces))
    return shards


def _write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> tuple[int, str]:
    """Write flat fp32 `tensors`, bring them to disk, and return (bytes, SHA-256 in hex).

    The format is the header's length (uint64, little endian), a JSON header padded to 8 bytes, and the tensors' bytes
    one after another (safetensors, "Format"). Its library puts a file together in memory first, with the interpreter
    held. The checksum is of what was to be written, so that a disk that stores something else is found out.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": [tensor.numel()], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in [len(text).to_bytes(8, "little"), text]:
            digest.update(part)
            file.write(part)
        for tensor in tensors.values():
            content = tensor.detach().to("cpu", torch.float32).contiguous().numpy().data.cast("B")
            digest.update(content)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return 8 + len(text) + end, digest.hexdigest()


def read_fragments(
    fragments: Sequence[Fragment], pieces: Mapping[str, Sequence[Piece]], folder: Path
) -> None:
    """Fill `fragments` from the files in `folder`; `pieces` are those of each parameter, of any layout.

    Raises:
        ValueError: a parameter is missing, has another shape, or is not there as a whole.
    """
    files: dict[str, Any] = {}
    for fragment in fragments:
        end, filled = fragment.start + fragment.numel, 0
        for piece in pieces.get(fragment.name, ()):
            if piece.shape != fragment.shape:
                raise ValueError(f"{fragment.name} has shape {piece.shape}, the model's is {fragment.shape}")
            first, last = max(fragment.start, piece.start), min(end, piece.start + piece.numel)
            if first >= last:
                continue
            if piece.file not in files:
                files[piece.file] = safe_open(folder / piece.file, framework="pt")
            for kind, values in fragment.values.items():
                stored = files[piece.file].get_slice(_key(fragment.name, kind))
                part = stored[first - piece.start : last - piece.start]
                values.narrow(0, first - fragment.start, last - first).copy_(part)
            filled += last - first
        if filled != fragment.numel:
            raise ValueError(f"{fragment.name} is not there as a whole")


def read_weights(pieces: Mapping[str, Sequence[Piece]], folder: Path) -> dict[str, torch.Tensor]:
    """Return every parameter of a checkpoint whole, in fp32, in host memory."""
    weights = {}
    for name, some in pieces.items():
        whole = torch.empty(some[0].shape, dtype=torch.float32)
        read_fragments([Fragment(name, some[0].shape, 0, {WEIGHT: whole.view(-1)})], {name: some}, folder)
        weights[name] = whole
    return weights


def _filled(fragments: Iterable[Fragment], shard_bytes: int) -> Iterator[list[Fragment]]:
    """Yield as many fragments at a time as fill a file, cut where one is larger than a file."""
    most = max(shard_bytes // (4 * len(KINDS)), 1)
    some: list[Fragment] = []
    room = most
    for fragment in fragments:
        for start in range(0, fragment.numel, most):
            part = _cut(fragment, start, min(most, fragment.numel - start))
            if part.numel > room:
                yield some
                some, room = [], most
            some.append(part)
            room -= part.numel
    if some:
        yield some


def _cut(fragment: Fragment, start: int, numel: int) -> Fragment:
    if numel == fragment.numel:
        return fragment
    values = {kind: value.narrow(0, start, numel) for kind, value in fragment.values.items()}
    return Fragment(fragment.name, fragment.shape, fragment.start + start, values)


def _key(name: str, kind: str) -> str:
    return f"{name}/{kind}"
