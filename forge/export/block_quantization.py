"""Values rounded to blocks. Types of 256 values a block are rounded by ggml itself, which no Python package rewrites.

It is the ggml inside the llama.cpp that the proof runs (`forge-run[verify]`): called directly, a few rows at a time,
so that neither a compiler nor memory for a whole tensor is needed.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType

from forge.errors import StageError
from forge.export.gguf_types import K_BLOCK_VALUES, K_TYPES
from forge.export.stored_tensors import Floats


def require_k_types(kinds: Sequence[str]) -> None:
    """Check that files of `kinds` can be written here.

    Raises:
        StageError: one is a K type, and this build of llama.cpp does not give its rounding away.
    """
    named = [kind for kind in kinds if kind in K_TYPES]
    if named and _ggml_quantize_chunk() is None:
        raise StageError(
            f"export.gguf_types: {named[0]}: the installed xllamacpp does not export ggml_quantize_chunk: "
            f"pip install 'xllamacpp==2026.10.11549', or leave {named[0]} out"
        )


def quantize_rows(rows: Floats, kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    """Return rows [count, row_values] as the bytes, or values, [count, ...] that a file of a type has.

    The bytes are those of llama.cpp's own quantizer without an importance matrix.
    """
    if gguf.GGML_QUANT_SIZES[kind][0] < K_BLOCK_VALUES:
        quantized: npt.NDArray[Any] = gguf.quantize(rows, kind)
        return quantized
    values = np.ascontiguousarray(rows, np.float32)
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    row_bytes = rows.shape[-1] // block_values * block_bytes
    written = np.empty((len(rows), row_bytes), np.uint8)
    threads = len(os.sched_getaffinity(0))
    borders = np.linspace(0, len(rows), threads + 1).astype(int).tolist()

    def fill(first: int, last: int) -> None:
        done = _ggml_quantize_chunk()(
            kind.value,
            values[first:last].ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            written[first:last].ctypes.data_as(ctypes.c_void_p),
            0,
            last - first,
            rows.shape[-1],
            None,
        )
        assert done == (last - first) * row_bytes

    with ThreadPoolExecutor(threads) as pool:  # ctypes lets go of the interpreter's lock
        list(pool.map(fill, borders[:-1], borders[1:]))
    return written


@functools.cache
def _ggml_quantize_chunk() -> Any:
    """Return the function of ggml.h; None where the library has it not, or not for others."""
    import xllamacpp

    function = getattr(ctypes.CDLL(xllamacpp.xllamacpp.__file__), "ggml_quantize_chunk", None)
    if function is not None:
        # ggml_type, const float * src, void * dst, int64_t start, nrows, n_per_row, const float * imatrix
        numbers = [ctypes.c_int64] * 3
        floats = ctypes.POINTER(ctypes.c_float)
        function.argtypes = [ctypes.c_int, floats, ctypes.c_void_p, *numbers, floats]
        function.restype = ctypes.c_size_t
    return function
