"""Whether a step went well: not finite, far off the steps before it, or good.

What is judged by is a function of the steps since the start, kept in the checkpoints: a resumed training judges each
step as an undisturbed one does.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

HISTORY_STEPS = 64
"""Good steps that a step is compared with; half as many must be there before any is called a spike."""

SPIKE_SCORE = 8.0
"""Robust z-scores above the median that make a spike. Noise of a normal kind is there once in 10^15 steps."""

LOSS_SPREAD_FLOOR = 0.05
"""Nats a token: where the loss hardly varies, a rise of less than 8 times this is no spike."""

NORM_SPREAD_FLOOR = 0.5
"""Of the natural logarithm of the gradient norm: a spike is at least e^4 = 55 times the median. Gradients are clipped,
and norms ten times the usual are common in trainings that go well (Chowdhery et al. 2022, §5.1)."""

NOT_FINITE_IN_A_ROW = 3
"""As many steps without a finite loss and gradient mean that leaving them out one by one does not help."""

SMALLEST_LOSS_SCALE = 1.0
"""Of fp16: a gradient that is not finite at this scale is so by itself."""
PAIR_LOSS_SPREAD_FLOOR = 0.5
"""Nats a pair, where preferences are learnt: once most pairs cost next to nothing, one that is labelled the wrong way
costs several, whatever the weights."""

PAIR_NORM_SPREAD_FLOOR = 1.0
"""Likewise of the logarithm of the gradient norm, which is in proportion to how wrong the pairs of a step are."""

_MAD_OF_A_NORMAL = 1.4826
"""A normal distribution's standard deviation is this times its median absolute deviation (Rousseeuw & Croux 1993)."""

_SMOOTHING = 0.95

Judgement = Literal["good", "not finite", "overflow", "spike"]


@dataclass(frozen=True, slots=True)
class Course:
    """What is remembered of the steps so far."""

    losses: tuple[float, ...] = ()
    """Nats a token, of the last good steps."""
    log_norms: tuple[float, ...] = ()
    """Natural logarithms of their gradient norms."""
    smoothed_loss: float | None = None
    """Exponential mean over good steps."""
    not_finite: int = 0
    """Steps without a finite loss and gradient since the last good one."""


def judge(
    course: Course,
    loss: float,
    gradient_norm: float,
    loss_scale: float | None = None,
    of_pairs: bool = False,
) -> tuple[Judgement, str]:
    """Judge a step after `course`: the judgement, and in words what was seen ('loss is nan').

    A gradient that is not finite because its loss was multiplied by `loss_scale` is an overflow, as fp16 has them in
    trainings that go well. `of_pairs` says that the loss is of preferences.
    """
    if math.isfinite(loss) and not math.isfinite(gradient_norm) and (loss_scale or 0.0) > SMALLEST_LOSS_SCALE:
        return "overflow", f"the gradient overflowed at a loss scale of {loss_scale:g}"
    for name, value in (("loss", loss), ("gradient norm", gradient_norm)):
        if not math.isfinite(value):
            return "not finite", f"{name} is {value}"
    floors = (LOSS_SPREAD_FLOOR, NORM_SPREAD_FLOOR)
    if of_pairs:
        floors = (PAIR_LOSS_SPREAD_FLOOR, PAIR_NORM_SPREAD_FLOOR)
    seen = (
        ("loss", "nats", loss, loss, course.losses, floors[0]),
        ("gradient norm", "", gradient_norm, _log(gradient_norm), course.log_norms, floors[1]),
    )
    for name, unit, shown, value, before, floor in seen:
        score, median = _score(value, before, floor)
        if len(before) >= HISTORY_STEPS // 2 and score > SPIKE_SCORE:
            usual = math.exp(median) if name == "gradient norm" else median
            return "spike", f"{name} is {shown:.4g} {unit}".rstrip() + f" where {usual:.4g} is usual"
    return "good", ""


def remember(course: Course, judgement: Judgement, loss: float, gradient_norm: float) -> Course:
    """Return the course with one more step, which was judged so. An overflow says nothing of a training."""
    if judgement == "overflow":
        return course
    if judgement == "not finite":
        return replace(course, not_finite=course.not_finite + 1)
    smoothed = course.smoothed_loss
    smoothed = loss if smoothed is None else _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
    return Course(
        losses=(*course.losses, loss)[-HISTORY_STEPS:],
        log_norms=(*course.log_norms, _log(gradient_norm))[-HISTORY_STEPS:],
        smoothed_loss=smoothed,
    )


def course_to_json(course: Course) -> dict[str, Any]:
    """Return JSON values from which `course_from_json` makes the same course, to the last bit."""
    return asdict(course)


def course_from_json(content: dict[str, Any]) -> Course:
    """Return the course that `course_to_json` wrote."""
    lists = {name: tuple(content[name]) for name in ("losses", "log_norms")}
    return Course(**(content | lists))


def _score(value: float, before: tuple[float, ...], floor: float) -> tuple[float, float]:
    if not before:
        return 0.0, value
    median = statistics.median(before)
    spread = _MAD_OF_A_NORMAL * statistics.median(abs(one - median) for one in before)
    return (value - median) / max(spread, floor), median


def _log(norm: float) -> float:
    return math.log(max(norm, 1e-30))
