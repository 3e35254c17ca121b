"""How sure a rate is that was counted."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""


def wilson_95(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a rate (Wilson 1927, JASA 22:209), from 0 to 1 where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share, square = successes / trials, Z_95**2 / trials
    middle = (share + square / 2) / (1 + square)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    # Rounding must not put 0 of n above 0, nor n of n below 1.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == trials else min(1.0, middle + half)
