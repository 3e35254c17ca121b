"""Tokens in the layout of Megatron-LM's indexed datasets (.bin and .idx), which nanotron and others read too.

.idx: `MMIDIDX\\0\\0`, version 1 (u64), type code (u8), sequences (u64), documents + 1 (u64), then the lengths of
sequences (i32), their byte offsets in .bin (i64) and the sequence each document begins with (i64); all little-endian.
Here each document is one sequence.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.loading import TokenShard
from forge.errors import StageError

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Type code -> integers. The layout has no uint32: vocabularies over 65,535 go as int32."""
HEADER = struct.Struct("<9sQBQQ")


def export_megatron(tokens: Path, split: str, prefix: Path) -> None:
    """Write `split` of a tokens artifact to `prefix`.bin and `prefix`.idx, a sequence a document.

    Raises:
        StageError: the tokens are packed by best fit, so documents do not lie one after the other.
    """
    shard = TokenShard.open(tokens, split)
    if shard.packed:
        raise StageError(
            f"{tokens}: is packed by best fit: make tokens with data.packing=concatenate to export them"
        )
    table = parquet.read_table(tokens / "documents.parquet", columns=["split", "start", "tokens"])
    table = table.filter(compute.equal(table["split"], split)).sort_by("start")
    lengths = table["tokens"].to_numpy().astype("<i4")
    code = 8 if shard.tokens.dtype.itemsize == 2 else 4
    shutil.copyfile(tokens / f"{split}.bin", prefix.with_name(prefix.name + ".bin"))
    offsets = (table["start"].to_numpy() * shard.tokens.dtype.itemsize).astype("<i8")
    with prefix.with_name(prefix.name + ".idx").open("wb") as file:
        file.write(HEADER.pack(MAGIC, VERSION, code, len(lengths), len(lengths) + 1))
        for array in (lengths, offsets, np.arange(len(lengths) + 1, dtype="<i8")):
            file.write(array.tobytes())


def import_megatron(prefix: Path) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """Return (tokens of all sequences in order, memory-mapped where they lie so; the length of each sequence).

    Raises:
        StageError: the two files are not such a dataset.
    """
    index, content = (prefix.with_name(prefix.name + suffix) for suffix in (".idx", ".bin"))
    try:
        header = index.read_bytes()
        magic, version, code, sequences, _ = HEADER.unpack_from(header)
        if magic != MAGIC or version != VERSION or code not in DTYPES:
            raise ValueError(f"begins with {magic!r}, version {version}, type {code}")
        lengths = np.frombuffer(header, "<i4", sequences, HEADER.size).astype(np.int64)
        offsets = np.frombuffer(header, "<i8", sequences, HEADER.size + 4 * sequences)
        dtype = np.dtype(DTYPES[code])
        tokens = np.memmap(content, dtype, "r") if content.stat().st_size else np.empty(0, dtype)
        starts = offsets // dtype.itemsize
        if (starts + lengths > len(tokens)).any():
            raise ValueError(f"{content.name} has {len(tokens)} tokens, sequences reach beyond")
    except (OSError, ValueError, struct.error) as error:
        raise StageError(
            f"{index}: not a Megatron dataset ({error}): give the path without .bin or .idx"
        ) from None
    if np.array_equal(starts, np.cumsum(lengths) - lengths):
        return np.asarray(tokens)[: lengths.sum()], lengths
    pieces = [tokens[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    return np.concatenate([*pieces, np.empty(0, dtype)]), lengths
