"""Fewer points of a curve that look like all of them: of every stretch its lowest and its highest."""

from __future__ import annotations

from collections.abc import Sequence

STRETCHES = 400
"""A chart is at most about 900 pixels wide, and each stretch gives two points."""


def kept_points(values: Sequence[float], stretches: int = STRETCHES) -> list[int]:
    """Return the places of the values to draw, in order: all where they are few, else at most 2 x stretches + 2.

    Each of `stretches` stretches of equal length keeps its first lowest and first highest value, so every spike is
    drawn at its full height and at its step; the first and the last value are kept as well.
    """
    count = len(values)
    if count <= 2 * stretches:
        return list(range(count))
    kept = {0, count - 1}
    for number in range(stretches):
        begin = number * count // stretches
        stretch = list(values[begin : (number + 1) * count // stretches])
        kept |= {begin + stretch.index(min(stretch)), begin + stretch.index(max(stretch))}
    return sorted(kept)
