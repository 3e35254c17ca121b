"""The optimisation schedule in steps, from a spec that speaks in tokens and fractions."""

from __future__ import annotations

import math
from typing import Any

from forge.plan.types import SchedulePlan


def plan_schedule(train: dict[str, Any]) -> SchedulePlan:
    """Return the schedule of a spec whose `train` values are valid by schema and rules.

    A token budget is rounded up to whole steps.
    """
    batch = train["global_batch_tokens"]
    steps = train["steps"] if train["steps"] is not None else math.ceil(train["tokens"] / batch)
    checkpoint_every = train["checkpoint_every_steps"] or max(1, math.ceil(steps / 10))
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
        log_every_steps=train["log_every_steps"],
        checkpoint_every_steps=checkpoint_every,
        keep_checkpoints=train["keep_checkpoints"],
    )
