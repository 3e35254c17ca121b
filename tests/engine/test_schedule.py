from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forge.engine.schedule import learning_rate
from forge.plan.types import SchedulePlan
from tests.factories import tiny_plan

BASE = tiny_plan().schedule


@st.composite
def schedules(draw: st.DrawFn) -> SchedulePlan:
    steps = draw(st.integers(2, 2_000))
    warmup = draw(st.integers(0, steps - 1))
    peak = draw(st.floats(1e-6, 1.0))
    return replace(
        BASE,
        steps=steps,
        warmup_steps=warmup,
        decay_steps=draw(st.integers(1, max(steps - warmup, 1))),
        learning_rate=peak,
        min_learning_rate=peak * draw(st.floats(0.0, 1.0)),
        learning_rate_schedule=draw(st.sampled_from(["cosine", "linear", "constant", "wsd"])),
    )


@given(schedules())
def test_rises_to_the_peak_then_never_rises_again(schedule: SchedulePlan) -> None:
    rates = [learning_rate(step, schedule) for step in range(schedule.steps)]
    warmup, rest = rates[: schedule.warmup_steps], rates[schedule.warmup_steps :]
    assert warmup == sorted(warmup)
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(rest))
    assert max(rates) <= schedule.learning_rate * (1 + 1e-12)
    assert all(rate > 0 for rate in warmup)
    assert all(rate >= schedule.min_learning_rate * (1 - 1e-12) for rate in rest)
    if warmup:
        assert warmup[-1] == schedule.learning_rate


@given(schedules())
def test_what_decays_ends_at_the_minimum(schedule: SchedulePlan) -> None:
    assume(schedule.warmup_steps < schedule.steps - 1)
    last = learning_rate(schedule.steps - 1, schedule)
    constant = schedule.learning_rate_schedule == "constant"
    end = schedule.learning_rate if constant else schedule.min_learning_rate
    assert last == pytest.approx(end, rel=1e-9, abs=1e-15)


@given(schedules(), st.integers(0, 2_000))
def test_each_schedule_is_its_formula(schedule: SchedulePlan, step: int) -> None:
    """Written out anew, of n steps with w of warm-up and d of decay, peak p and minimum m, counted from step 1."""
    assume(step < schedule.steps)
    n, w, d = schedule.steps, schedule.warmup_steps, schedule.decay_steps
    p, m, t = schedule.learning_rate, schedule.min_learning_rate, step + 1
    if t <= w:
        formula = p * t / w
    elif schedule.learning_rate_schedule == "constant":
        formula = p
    elif schedule.learning_rate_schedule == "wsd":
        formula = p if t <= n - d else p + (m - p) * (t - (n - d)) / d
    else:
        # From the step after warm-up, still at the peak, to the last.
        progress = (t - w - 1) / (n - w - 1) if n - w > 1 else 0.0
        cosine = schedule.learning_rate_schedule == "cosine"
        remains = (1 + math.cos(math.pi * progress)) / 2 if cosine else 1 - progress
        formula = m + (p - m) * remains
    assert learning_rate(step, schedule) == pytest.approx(formula, rel=1e-9, abs=1e-15)


def test_wsd_is_flat_until_its_decay() -> None:
    schedule = replace(BASE, learning_rate_schedule="wsd", steps=100, warmup_steps=10, decay_steps=20)
    assert {learning_rate(step, schedule) for step in range(10, 80)} == {schedule.learning_rate}
    assert learning_rate(80, schedule) < schedule.learning_rate


def test_cosine_is_half_way_down_in_the_middle() -> None:
    schedule = replace(BASE, steps=101, warmup_steps=0, learning_rate=1.0, min_learning_rate=0.0)
    assert learning_rate(0, schedule) == 1.0
    assert learning_rate(50, schedule) == pytest.approx(0.5)
    assert learning_rate(25, schedule) == pytest.approx(0.8535533905932737)
