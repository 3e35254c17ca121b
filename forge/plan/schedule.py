"""The optimisation schedule in steps, from a spec that speaks in tokens and fractions."""

from __future__ import annotations

import math
from typing import Any

from forge.errors import SpecError
from forge.plan.phases import plan_phases
from forge.plan.types import SchedulePlan, SourcePlan

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
    sources: tuple[SourcePlan, ...] = (),
) -> SchedulePlan:
    """Return the schedule of a spec whose `train` values are valid by schema and rules.

    Args:
        train: values of group `train`.
        steps: what the budget pays for.
        step_time_s: seconds of a step; 0 when unknown.
        checkpoint_stall_s: seconds that training stands still for one checkpoint.
        best_checkpoint_interval_s: what faults ask for (Young 1974, Daly 2006); None: nothing.
        sources: what the weights of phases are of; empty where the data is not at hand.

    Raises:
        SpecError: warm-up or decay, given in tokens, are longer than the run, or phases do not fit it.
    """
    batch = train["global_batch_tokens"]
    warmup_steps, decay_steps = _warmup_and_decay_steps(train, steps)
    return SchedulePlan(
        sequence_length=train["sequence_length"],
        global_batch_sequences=batch // train["sequence_length"],
        global_batch_tokens=batch,
        steps=steps,
        tokens=steps * batch,
        learning_rate=train["learning_rate"],
        min_learning_rate=train["learning_rate"] * train["min_learning_rate_fraction"],
        learning_rate_schedule=train["learning_rate_schedule"],
        warmup_steps=warmup_steps,
        decay_steps=decay_steps,
        weight_decay=train["weight_decay"],
        adam_beta1=train["adam_beta1"],
        adam_beta2=train["adam_beta2"],
        adam_epsilon=train["adam_epsilon"],
        gradient_clip=train["gradient_clip"] or 0.0,
        z_loss=train["z_loss"],
        mup_base_hidden_size=train["mup_base_hidden_size"] or 0,
        mup_base_head_dim=train["mup_base_head_dim"] or 0,
        optimizer=train["optimizer"],
        muon_learning_rate=train["muon_learning_rate"] if train["optimizer"] == "muon" else 0.0,
        muon_momentum=train["muon_momentum"] if train["optimizer"] == "muon" else 0.0,
        log_every_steps=train["log_every_steps"],
        checkpoint_every_steps=train["checkpoint_every_steps"]
        or _checkpoint_interval(steps, step_time_s, checkpoint_stall_s, best_checkpoint_interval_s),
        keep_checkpoints=train["keep_checkpoints"],
        keep_every_steps=train["keep_every_steps"] or 0,
        evaluate_every_steps=train["evaluate_every_steps"] or 0,
        evaluate_tokens=train["evaluate_tokens"],
        task=train["task"],
        phases=plan_phases(train, steps, batch, sources),
        dpo_beta=train["dpo_beta"] if train["task"] == "dpo" else 0.0,
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


def reference_time_s(schedule: SchedulePlan, step_time_s: float, corpus_tokens: int) -> float:
    """Return the seconds in which the model that preferences are learnt from reads all of them once.

    A forward pass is a third of the FLOPs of a step on as many tokens (Kaplan 2020, §2.1).
    """
    if schedule.task != "dpo":
        return 0.0
    return corpus_tokens / schedule.global_batch_tokens * step_time_s / 3


def _warmup_and_decay_steps(train: dict[str, Any], steps: int) -> tuple[int, int]:
    """Return the steps of both; tokens are rounded up to whole steps, as those of a budget are."""
    batch = train["global_batch_tokens"]
    decays = train["learning_rate_schedule"] == "wsd"
    names = ("warmup", "decay") if decays else ("warmup",)
    keys = [f"{name}_tokens" if train[f"{name}_fraction"] is None else f"{name}_fraction" for name in names]
    in_tokens = [key for key in keys if key.endswith("_tokens")]
    lengths = [train[key] * (1 if key in in_tokens else steps * batch) for key in keys]
    if in_tokens and sum(lengths) > steps * batch:
        both = " and ".join(f"train.{key} {train[key]}" for key in keys)
        raise SpecError(
            f"train.{in_tokens[0]}: {both} {'are' if decays else 'is'} more than the run's {steps * batch} tokens: "
            "lower it, or train longer"
        )
    found = [
        math.ceil(length / batch) if key in in_tokens else round(steps * train[key])
        for key, length in zip(keys, lengths, strict=True)
    ]
    return found[0], found[1] if decays else 0


def _checkpoint_interval(steps: int, step_time_s: float, stall_s: float, best_s: float | None) -> int:
    interval = math.ceil(steps / CHECKPOINTS_A_RUN)
    if step_time_s > 0:
        interval = max(interval, math.ceil(stall_s / STALLED_SHARE / step_time_s))
        if best_s is not None:
            interval = min(interval, round(best_s / step_time_s))
    return min(max(interval, 1), steps)
