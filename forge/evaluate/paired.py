"""Two measured on the same things: tests that know it is the same things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
BLOCK_RESAMPLES = 100


def mcnemar_p(only_one: int, only_other: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (1947): a binomial test of the discordant pairs.

    Args:
        only_one: pairs that the one has right and the other has wrong.
        only_other: pairs the other way round.
    """
    discordant = only_one + only_other
    tail = ways = 1
    for count in range(min(only_one, only_other)):
        ways = ways * (discordant - count) // (count + 1)  # of choosing count + 1 of them
        tail += ways
    return min(1.0, 2 * tail / (1 << discordant))


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two ratios measured on the same documents."""

    difference: float
    low_95: float
    high_95: float
    p_value: float
    """Twice the share of resamples with the other sign, or none; at least 2 / (RESAMPLES + 1)."""


def ratio_difference(
    first: Sequence[float], second: Sequence[float], weights: Sequence[float], seed: int = 0
) -> Difference:
    """Return sum(second) / sum(weights) - sum(first) / sum(weights), and a paired bootstrap over documents.

    Documents are drawn with replacement (Efron, Tibshirani 1993, percentile interval), both measurements of a document
    together.

    Args:
        first: of each document, its loss in bits.
        second: the same of the other.
        weights: bytes of each document.
        seed: of the draws.
    """
    gaps = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    sizes = np.asarray(weights, np.float64)
    source = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES // BLOCK_RESAMPLES):
        chosen = source.integers(0, len(gaps), (BLOCK_RESAMPLES, len(gaps)))
        drawn.append(gaps[chosen].sum(axis=1) / sizes[chosen].sum(axis=1))
    ratios = np.concatenate(drawn)
    low, high = np.percentile(ratios, [2.5, 97.5])
    beyond = min(int((ratios <= 0).sum()), int((ratios >= 0).sum()))
    return Difference(
        difference=float(gaps.sum() / sizes.sum()),
        low_95=float(low),
        high_95=float(high),
        p_value=min(1.0, 2 * (beyond + 1) / (RESAMPLES + 1)),
    )
