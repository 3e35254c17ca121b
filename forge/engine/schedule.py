"""The learning rate as a pure function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from forge.plan.types import SchedulePlan


def learning_rate(step: int, schedule: SchedulePlan) -> float:
    """Return the learning rate used by optimizer step `step`, counted from 0.

    Rises linearly over `warmup_steps`, reaching the peak on the last of them. Then:
    `cosine`: half a cosine to the minimum (Loshchilov & Hutter 2017); `linear`: a straight line to it;
    `constant`: stays; `wsd` (warmup, stable, decay; Hu et al. 2024): stays, then a straight line over the last
    `decay_steps`. What decays is at `min_learning_rate` on the last step.
    """
    peak, low = schedule.learning_rate, schedule.min_learning_rate
    if step < schedule.warmup_steps:
        return peak * ((step + 1) / schedule.warmup_steps)
    kind = schedule.learning_rate_schedule
    if kind == "constant":
        return peak
    if kind == "wsd":
        stable = max(schedule.steps - schedule.decay_steps, schedule.warmup_steps)
        done = (step - stable + 1) / max(schedule.steps - stable, 1)
        return _between(peak, low, min(max(done, 0.0), 1.0))
    done = min((step - schedule.warmup_steps) / max(schedule.steps - 1 - schedule.warmup_steps, 1), 1.0)
    if kind == "linear":
        return _between(peak, low, done)
    return _between(peak, low, (1.0 - math.cos(math.pi * done)) / 2.0)


def _between(start: float, end: float, done: float) -> float:
    """Return the point `done` (0 to 1) of the way, exact at both ends."""
    return start * (1.0 - done) + end * done
