"""The optimisation schedule in steps, from a spec that speaks in tokens and fractions."""

from __future__ import annotations

import math
from typing import Any

from forge.plan.types import SchedulePlan

CHECKPOINTS_A_RUN = 10
"""Where the spec does not say how often, and faults do not ask for more."""

STALLED_SHARE = 0.01
"""Of the time that such checkpoints may take: in a run of minutes there are fewer of them."""


def plan_schedule(
    train: dict[str, Any],
    steps: int,
    step_time_s: float = 0.0,
    checkpoint_stall_s: float = 0.0,
    best_checkpoint_interval_s: float | None = None,
) -> SchedulePlan:
    """Return the schedule of a spec whose `train` values are valid by schema and rules.

    Args:
        train: values of group `train`.
        steps: what the budget pays for.
        step_time_s: seconds of a step; 0 when unknown.
        checkpoint_stall_s: seconds that training stands still for one checkpoint.
        best_checkpoint_interval_s: what faults ask for (Young 1974, Daly 2006); None: nothing.
    """
    batch = train["global_batch_tokens"]
    return SchedulePlan(
        sequence_length=train["sequence_length"],
        global_batch_sequences=batch // train["sequence_length"],
        global_batch_tokens=batch,
        steps=steps,
        tokens=steps * batch,
        learning_rate=train["learning_rate"],
        min_learning_rate=train["learning_rate"] * train["min_learning_rate_fraction"],
        learning_rate_schedule=train["learning_rate_schedule"],
        warmup_steps=round(steps * train["warmup_fraction"]),
        decay_steps=round(steps * train["decay_fraction"]) if train["learning_rate_schedule"] == "wsd" else 0,
        weight_decay=train["weight_decay"],
        adam_beta1=train["adam_beta1"],
        adam_beta2=train["adam_beta2"],
        adam_epsilon=train["adam_epsilon"],
        gradient_clip=train["gradient_clip"],
        z_loss=train["z_loss"],
        log_every_steps=train["log_every_steps"],
        checkpoint_every_steps=train["checkpoint_every_steps"]
        or _checkpoint_interval(steps, step_time_s, checkpoint_stall_s, best_checkpoint_interval_s),
        keep_checkpoints=train["keep_checkpoints"],
        keep_every_steps=train["keep_every_steps"] or 0,
        evaluate_every_steps=train["evaluate_every_steps"] or 0,
        evaluate_tokens=train["evaluate_tokens"],
        task=train["task"],
    )


def checkpoints_kept(schedule: SchedulePlan) -> int:
    """Return how many checkpoints there are at the end: the newest, those kept for good, and the best."""
    for_good = schedule.steps // schedule.keep_every_steps if schedule.keep_every_steps else 0
    return schedule.keep_checkpoints + for_good + (1 if schedule.evaluate_every_steps else 0)


def evaluation_time_s(schedule: SchedulePlan, step_time_s: float) -> float:
    """Return the seconds of a whole run that go into measuring held-out loss: every so often, and at checkpoints.

    A forward pass is a third of the FLOPs of a step on as many tokens (Kaplan 2020, §2.1).
    """
    if not schedule.evaluate_every_steps:
        return 0.0
    every = {
        schedule.evaluate_every_steps,
        schedule.checkpoint_every_steps,
        schedule.keep_every_steps or schedule.checkpoint_every_steps,
    }
    apart = [some for some in every if not any(some != other and some % other == 0 for other in every)]
    evaluations = sum(schedule.steps // some for some in apart)
    return evaluations * schedule.evaluate_tokens / schedule.global_batch_tokens * step_time_s / 3


def _checkpoint_interval(steps: int, step_time_s: float, stall_s: float, best_s: float | None) -> int:
    interval = math.ceil(steps / CHECKPOINTS_A_RUN)
    if step_time_s > 0:
        interval = max(interval, math.ceil(stall_s / STALLED_SHARE / step_time_s))
        if best_s is not None:
            interval = min(interval, round(best_s / step_time_s))
    return min(max(interval, 1), steps)
