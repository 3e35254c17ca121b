"""Which families of documents are held out: none of them is seen in training, nor a near copy of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from forge.errors import StageError


def held_out_groups(
    groups: Sequence[str], sizes_bytes: Sequence[int], fraction: float, seed: int
) -> frozenset[str]:
    """Choose families (`groups`, one name a document) of at most `fraction` of all bytes together.

    Families come in an order hashed from `seed` and their name, and are taken while they fit; one too large for the
    room left goes to training, so that a family is never cut.

    Raises:
        StageError: either split would have no family.
    """
    family_bytes: dict[str, int] = {}
    for group, size in zip(groups, sizes_bytes, strict=True):
        family_bytes[group] = family_bytes.get(group, 0) + size
    if len(family_bytes) < 2:
        raise StageError(
            f"corpus: {len(groups)} documents are one family of near copies, nothing different is left to hold out: "
            "give more distinct documents"
        )
    total = sum(family_bytes.values())
    room = fraction * total
    chosen: set[str] = set()
    for family in sorted(family_bytes, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest()):
        if family_bytes[family] <= room and len(chosen) + 1 < len(family_bytes):
            chosen.add(family)
            room -= family_bytes[family]
    if not chosen:
        # Rounded up to the next thousandth, the smallest family fits.
        needed = math.ceil(1000 * min(family_bytes.values()) / total + 1e-6) / 1000
        raise StageError(
            f"data.held_out_fraction: {fraction} of {total} bytes is less than any of {len(family_bytes)} distinct "
            f"documents: set data.held_out_fraction={needed:g} or give more documents"
        )
    return frozenset(chosen)
