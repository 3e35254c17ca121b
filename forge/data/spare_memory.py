"""Memory that is free and still this process's, given back between two phases of a stage.

What a phase over millions of documents held lies in pieces between what is still used, and allocators keep it: the next
phase, of other sizes, takes more from the system.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import pyarrow as pa


def give_back() -> None:
    """Give free memory back to the system."""
    pa.default_memory_pool().release_unused()
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], int]:
    """Return glibc's malloc_trim; where there is none, what does nothing."""
    found: Callable[[int], int] = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)
    return found
