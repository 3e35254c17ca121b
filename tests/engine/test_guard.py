from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.engine.guard import (
    HISTORY_STEPS,
    Course,
    course_from_json,
    course_to_json,
    judge,
    remember,
)


def after(losses: list[float], norms: list[float] | None = None) -> Course:
    course = Course()
    for place, loss in enumerate(losses):
        norm = norms[place] if norms else 1.0
        course = remember(course, "good", loss, norm)
    return course


STEADY = [2.0 + 0.02 * (place % 5) for place in range(HISTORY_STEPS)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_said(value: float) -> None:
    assert judge(Course(), value, 1.0) == ("not finite", f"loss is {value}")
    assert judge(after(STEADY), 2.0, value) == ("not finite", f"gradient norm is {value}")


def test_an_overflow_in_fp16_is_none_of_a_failure_until_the_scale_can_fall_no_more() -> None:
    course = after(STEADY)
    judgement, seen = judge(course, 2.0, math.nan, 4096.0)
    assert (judgement, seen) == ("overflow", "the gradient overflowed at a loss scale of 4096")
    assert remember(course, judgement, 2.0, math.nan) == course
    assert judge(course, 2.0, math.nan, 1.0) == ("not finite", "gradient norm is nan")
    assert judge(course, math.nan, math.nan, 4096.0)[0] == "not finite"
    assert judge(course, 2.0, 1.0, 4096.0) == ("good", "")


def test_a_rise_far_off_the_last_steps_is_a_spike() -> None:
    assert judge(after(STEADY), 2.3, 1.0)[0] == "good"
    judgement, seen = judge(after(STEADY), 2.6, 1.0)
    assert judgement == "spike"
    assert seen == "loss is 2.6 nats where 2.04 is usual"
    assert judge(after(STEADY), 0.1, 1.0)[0] == "good"
    assert judge(after(STEADY), 2.0, 30.0)[0] == "good"
    assert judge(after(STEADY), 2.0, 60.0) == ("spike", "gradient norm is 60 where 1 is usual")


def test_a_pair_that_is_labelled_the_wrong_way_is_no_spike() -> None:
    """Of few pairs a step, once the others are learnt."""
    learnt = after([0.01] * HISTORY_STEPS, [0.02] * HISTORY_STEPS)
    assert judge(learnt, 2.5, 8.0)[0] == "spike"
    assert judge(learnt, 2.5, 8.0, of_pairs=True)[0] == "good"
    assert judge(learnt, 4.5, 8.0, of_pairs=True) == ("spike", "loss is 4.5 nats where 0.01 is usual")
    assert judge(learnt, 0.1, 100.0, of_pairs=True)[0] == "spike"


def test_early_steps_are_no_spikes() -> None:
    assert judge(after(STEADY[: HISTORY_STEPS // 2 - 1]), 9.0, 1e6)[0] == "good"
    assert judge(after(STEADY[: HISTORY_STEPS // 2]), 9.0, 1.0)[0] == "spike"


def test_noise_is_put_up_with() -> None:
    noisy = [2.0 + 0.5 * math.sin(7 * place) for place in range(HISTORY_STEPS)]
    assert judge(after(noisy), 4.0, 1.0)[0] == "good"
    assert judge(after(noisy), 9.0, 1.0)[0] == "spike"


def test_steps_that_are_not_finite_are_counted_and_leave_the_rest_alone() -> None:
    course = after(STEADY)
    worse = remember(remember(course, "not finite", math.nan, 1.0), "not finite", math.nan, math.nan)
    assert worse.not_finite == 2
    assert (worse.losses, worse.smoothed_loss) == (course.losses, course.smoothed_loss)
    assert remember(worse, "good", 2.0, 1.0).not_finite == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1e6)), max_size=90))
def test_a_course_survives_being_written_to_the_last_bit(steps: list[tuple[float, float]]) -> None:
    course = after([loss for loss, _ in steps], [norm for _, norm in steps])
    assert course_from_json(json.loads(json.dumps(course_to_json(course)))) == course
    assert len(course.losses) == min(len(steps), HISTORY_STEPS)
