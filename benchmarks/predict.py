"""What forge predicts for a row of published measurements."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.rows import Row
from forge.plan.efficiency import constants, multiplies_fp8
from forge.plan.time import StepTimer


def tokens_per_s_per_gpu(row: Row, values: Mapping[str, float] | None = None) -> float:
    """Return the predicted rate of a row; `values` replaces the constants that forge ships."""
    values = constants() if values is None else values
    fp8 = row.fp8 and multiplies_fp8(row.hardware.gpu)
    timer = StepTimer(
        row.model,
        row.hardware,
        row.sequence_length,
        row.framework,
        values,
        row.shard_ranks,
        values["fp8_speedup"] if fp8 else 1.0,
        fp8 and row.eager_casts,
    )
    return row.step_tokens_per_gpu / timer.step_s(row.layout)
