"""Which families of documents are held out: none of them is seen in training, nor a near copy of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from forge.data.sets import Ints
from forge.errors import StageError


def held_out_families(
    heads: Ints, sizes_bytes: Ints, name_of: Callable[[int], str], fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose families of at most `fraction` of all bytes together; return of each document whether it is held out.

    Families come in an order hashed from `seed` and their name, and are taken while they fit; one too large for the
    room left goes to training, so that a family is never cut.

    Args:
        heads: of each document a number that its family shares.
        sizes_bytes: of each document.
        name_of: a family's name, by that number.
        fraction: of all bytes.
        seed: of the order.

    Raises:
        StageError: either split would have no family.
    """
    families, codes = np.unique(heads, return_inverse=True)
    if len(families) < 2:
        raise StageError(
            f"corpus: {len(heads)} documents are one family of near copies, nothing different is left to hold out: "
            "give more distinct documents"
        )
    # Floats are exact up to 2^53 bytes.
    sizes = np.bincount(codes, sizes_bytes).astype(np.int64)
    total = int(sizes.sum())
    room = fraction * total
    smallest = int(sizes.min())
    chosen = np.zeros(len(families), np.bool_)
    left = len(families) - 1
    for family in map(int, _hashed_order(families, name_of, seed)):
        if room < smallest:
            break
        if sizes[family] <= room and left:
            chosen[family] = True
            room -= int(sizes[family])
            left -= 1
    if not chosen.any():
        # Rounded up to the next thousandth, the smallest family fits.
        needed = math.ceil(1000 * smallest / total + 1e-6) / 1000
        raise StageError(
            f"data.held_out_fraction: {fraction} of {total} bytes is less than any of {len(families)} distinct "
            f"documents: set data.held_out_fraction={needed:g} or give more documents"
        )
    return np.asarray(chosen[codes])


def _hashed_order(families: Ints, name_of: Callable[[int], str], seed: int) -> Ints:
    """Return the places of families in the order of a hash of their names: of its first 16 bytes."""
    digests = bytearray()
    for family in families:
        digests += hashlib.sha256(f"{seed}\0{name_of(int(family))}".encode()).digest()[:16]
    return np.lexsort(np.frombuffer(digests, ">u8").reshape(-1, 2).T[::-1])
