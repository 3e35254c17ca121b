"""Where the ticks of an axis are, and what stands beside them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from forge.run.quantities import duration

NICE = (1, 2, 2.5, 5, 10)


def linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` (4 or more) round values from `low` to `high`, evenly apart; one where they are equal."""
    if high <= low:
        return [low]
    rough = (high - low) / max(most - 1, 1)
    scale = 10.0 ** math.floor(math.log10(rough))
    for nice in NICE:
        gap = nice * scale
        first, last = math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9)
        if gap >= rough * (1 - 1e-9) and last - first < most:
            return [number * gap for number in range(first, last + 1)]
    raise AssertionError("the widest gap leaves at most `most` ticks")


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most `most` values from `low` to `high` (both above 0) that are round on a logarithmic axis.

    Powers of ten, with 2 and 5 times them where there is room.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def tick_text(value: float) -> str:
    """Return a number as short as it can stand at a tick: '0', '0.002', '2e-05', '1,500', '20k', '1.5M'."""
    size = abs(value)
    if size >= 10_000:
        for scale, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
            if size >= scale:
                return f"{value / scale:.6g}{name}"
    if size and size < 0.001:
        return f"{value:.3g}"
    return f"{round(value, 10):,g}" if size < 1_000 else f"{value:,.0f}"


def time_texts(times_s: Sequence[float | None]) -> list[str]:
    """Return times in seconds as they stand at ticks, to the digit that tells neighbours apart; '' for None."""
    for decimals in (None, 1, 2, 3):
        texts = [
            "" if one is None else duration(one) if decimals is None else f"{one:,.{decimals}f} s"
            for one in times_s
        ]
        shown = list(filter(None, texts))
        if all(one != other for one, other in itertools.pairwise(shown)):
            return texts
    return texts
