"""Weights on disk, read a few rows at a time: a model far larger than memory can be rewritten."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
"""numpy has no bf16: its bits are the upper half of a float's."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where one tensor lies."""

    path: Path
    offset_bytes: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of a matrix; a vector is one row."""
        return self.shape[0] if len(self.shape) > 1 else 1

    @property
    def row_values(self) -> int:
        """Values in a row."""
        return math.prod(self.shape[1:]) if len(self.shape) > 1 else self.shape[0]

    def read_rows(self, first: int, count: int) -> Floats:
        """Return rows `first` to `first + count` as fp32 [count, row_values], which holds each value exactly."""
        dtype = NUMPY_DTYPES[self.dtype]
        values = np.fromfile(
            self.path,
            dtype=dtype,
            count=count * self.row_values,
            offset=self.offset_bytes + first * self.row_values * dtype.itemsize,
        ).reshape(count, self.row_values)
        if self.dtype == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        floats: Floats = values.astype("<f4", copy=False)
        return floats


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return the tensors of `folder`/model*.safetensors by name, in the order of the files."""
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as stream:
            header_bytes = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(header_bytes))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            offset_bytes = 8 + header_bytes + entry["data_offsets"][0]
            tensors[name] = StoredTensor(path, offset_bytes, entry["dtype"], tuple(entry["shape"]))
    return tensors
