"""Columns of hashes and of lists of numbers: between Arrow and NumPy without an object for each value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]

DIGEST = pa.binary(16)


def digest_keys(column: pa.ChunkedArray | pa.Array, words: int = 2) -> Uint64:
    """Return hashes of `words` times 8 bytes, none of them missing, as (n, words) uint64."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [
        np.frombuffer(chunk.buffers()[1], np.uint64, words * len(chunk), 8 * words * chunk.offset)
        for chunk in chunks
        if len(chunk)
    ]
    return (found[0] if len(found) == 1 else np.concatenate([*found, np.empty(0, np.uint64)])).reshape(
        -1, words
    )


def digest_column(keys: Uint64) -> pa.Array:
    """Return what `digest_keys` was made of."""
    content = np.ascontiguousarray(keys)
    return pa.FixedSizeBinaryArray.from_buffers(DIGEST, len(keys), [None, pa.py_buffer(content)])


def digests_of_hex(column: pa.ChunkedArray) -> Uint64:
    """Return the first half of SHA-256 hashes that are written out, as (n, 2) uint64."""
    content = bytes.fromhex("".join(column.to_pylist()))
    return np.ascontiguousarray(np.frombuffer(content, np.uint64).reshape(-1, 4)[:, :2])


def lists_column(lists: Sequence[npt.NDArray[Any] | None], kind: pa.DataType) -> pa.Array:
    """Return arrays of numbers as a column of large lists of type `kind`; None where one is missing."""
    missing = np.array([one is None for one in lists], np.bool_)
    borders = np.cumsum([0, *(0 if one is None else len(one) for one in lists)])
    values = np.concatenate([*(one for one in lists if one is not None), np.empty(0, np.uint64)])
    offsets = pa.array(borders, pa.int64(), mask=np.append(missing, False))
    return pa.LargeListArray.from_arrays(offsets, pa.array(values, kind.value_type))


def flat_lists(column: pa.ChunkedArray) -> tuple[Uint64, Ints]:
    """Return the values of lists one after the other, and where each list begins and the last ends."""
    whole = column.combine_chunks()
    chunk = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    borders = chunk.offsets.to_numpy()
    values: Uint64 = chunk.values.to_numpy()
    return values[borders[0] : borders[-1]] if len(borders) else values[:0], borders - borders[:1]
