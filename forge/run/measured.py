"""The plan's prediction beside what a training measured, or has measured so far."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from forge.plan.types import Plan
from forge.run.history import History

SECONDS_PER_HOUR = 3600


def predicted_and_measured(plan: Plan, training: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return [predicted, measured] by quantity, of a finished training's summary.

    Training time is the time of the steps. The wall-clock time runs from each launch of the workers to their last
    event: start-up, evaluations and checkpoints are in it. The cost is that time at the plan's price of a
    GPU-hour; it is left out where the plan knows none.
    """
    estimates = plan.estimates
    pairs = {
        "training_time_s": [estimates.training_time_s, plan.schedule.steps * training["step_time_s"]],
        **pairs_of_steps(plan, training),
        "wall_clock_s": [estimates.wall_clock_s, training["wall_clock_s"]],
    }
    if estimates.cost_usd is not None and estimates.gpu_hours:
        hours = plan.layout.world_size * training["wall_clock_s"] / SECONDS_PER_HOUR
        pairs["cost_usd"] = [estimates.cost_usd, hours * estimates.cost_usd / estimates.gpu_hours]
    return pairs


def pairs_of_steps(plan: Plan, training: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return [predicted, measured] of what does not hang on how many steps are done."""
    estimates = plan.estimates
    return {
        "step_time_s": [estimates.step_time_s, training["step_time_s"]],
        "tokens_per_second": [estimates.tokens_per_second, training["tokens_per_second"]],
        "peak_memory_bytes": [estimates.peak_memory_bytes, training["peak_memory_bytes"]],
    }


def measured_so_far(plan: Plan, history: History) -> dict[str, float] | None:
    """Return what a training that is not finished has measured, named as in its summary; None before its first step."""
    _, step_times_s = history.series("step_time_s")
    if not step_times_s:
        return None
    step_time_s = statistics.median(step_times_s)
    _, peaks_bytes = history.series("peak_memory_bytes")
    return {
        "step_time_s": step_time_s,
        "tokens_per_second": plan.schedule.global_batch_tokens / step_time_s,
        "peak_memory_bytes": max(peaks_bytes),
        "wall_clock_s": history.training_s,
    }
