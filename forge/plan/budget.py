"""How many steps the budget buys: tokens, steps, passes over the corpus, hours or money."""

from __future__ import annotations

import math
from typing import Any

from forge.errors import SpecError
from forge.plan.hardware import Hardware


def budget_steps(
    train: dict[str, Any],
    hardware: Hardware,
    step_time_s: float,
    goodput_fraction: float,
    training_tokens: int,
) -> int:
    """Return the optimizer steps that the one budget given pays for.

    Tokens and epochs are rounded up to whole steps, hours and money down.

    Args:
        train: values of group `train`, one budget set.
        hardware: what the plan uses, with its price.
        step_time_s: seconds of a step.
        goodput_fraction: share of the wall-clock time that is progress.
        training_tokens: tokens in one pass over the training text; 0 when unknown.

    Raises:
        SpecError: the budget pays for no step, or cannot be worked out.
    """
    batch: int = train["global_batch_tokens"]
    if train["steps"] is not None:
        return int(train["steps"])
    if train["tokens"] is not None:
        return -(-int(train["tokens"]) // batch)
    if train["epochs"] is not None:
        if not training_tokens:
            raise SpecError(
                "train.epochs: the length of a pass is not known while the documents are not at hand: "
                "give data.path or data.assumed_tokens, or train.tokens"
            )
        return math.ceil(float(train["epochs"]) * training_tokens / batch)
    price = hardware.usd_per_gpu_hour
    if train["hours"] is not None:
        hours: float = train["hours"]
        key, given = "hours", f"{hours:g} h"
    else:
        if not price:
            raise SpecError(
                f"train.budget_usd: hardware={hardware.name} has no price: "
                "give hardware.usd_per_gpu_hour, or train.hours"
            )
        key, given = "budget_usd", f"${train['budget_usd']:g}"
        hours = train["budget_usd"] / (price * hardware.world_size)
    steps = math.floor(hours * 3600 * goodput_fraction / step_time_s)
    if steps < 1:
        step_s = step_time_s / goodput_fraction
        needs = f"{_figure(step_s)} s"
        if key == "budget_usd" and price:
            needs += f" and ${_figure(price * hardware.world_size * step_s / 3600)}"
        raise SpecError(
            f"train.{key}: {given} does not pay for one step, {needs} on hardware={hardware.name}: "
            "raise it, or lower train.global_batch_tokens"
        )
    return steps


def _figure(value: float) -> str:
    """Return a number to three digits, or to the whole; never 4.74e+03."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
