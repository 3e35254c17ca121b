"""Scores of predictions against measurements: errors, and their quantiles with every source weighing the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.rows import Row


@dataclass(frozen=True, slots=True)
class Scored:
    """A row with what was predicted for it."""

    row: Row
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Relative error of tokens/s, signed, as a fraction: 0.1 is a tenth too fast."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class SourceScore:
    """One line of the table."""

    source: str
    rows: int
    median_abs_error: float
    p90_abs_error: float
    worst: Scored


def score_rows(rows: Iterable[Row], predict: Callable[[Row], float]) -> list[Scored]:
    """Return the rows that have measured tokens/s, each with its prediction in tokens/s a GPU."""
    return [
        Scored(row, row.tokens_per_s_per_gpu, predict(row))
        for row in rows
        if row.tokens_per_s_per_gpu is not None
    ]


def weighted_quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """Return the smallest value up to which lies at least `share` of the weight.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    total, reached = sum(weights), 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        reached += weight
        if reached >= share * total * (1 - 1e-12):
            return value
    return max(values)


def source_weights(scored: Sequence[Scored]) -> list[float]:
    """Return weights by which every source counts the same, whatever its number of rows."""
    counts = Counter(item.row.source for item in scored)
    return [1 / counts[item.row.source] for item in scored]


def abs_error_quantile(scored: Sequence[Scored], share: float) -> float:
    """Return a quantile of the absolute error over all rows, sources weighted equally."""
    return weighted_quantile([abs(item.error) for item in scored], source_weights(scored), share)


def source_table(scored: Sequence[Scored]) -> list[SourceScore]:
    """Return one line a source, in the order the sources first appear."""
    table = []
    for source in dict.fromkeys(item.row.source for item in scored):
        own = [item for item in scored if item.row.source == source]
        table.append(
            SourceScore(
                source,
                len(own),
                abs_error_quantile(own, 0.5),
                abs_error_quantile(own, 0.9),
                max(own, key=lambda item: abs(item.error)),
            )
        )
    return table
