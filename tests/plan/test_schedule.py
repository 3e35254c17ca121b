from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.plan.schedule import checkpoints_kept, evaluation_time_s, plan_schedule
from tests.plan.specs import composed


def _train(**changes: Any) -> dict[str, Any]:
    values, _ = composed()
    train: dict[str, Any] = values["train"] | changes
    return train


@settings(deadline=None)
@given(steps=st.integers(1, 10**9), sequences=st.integers(1, 4096), length=st.sampled_from([8, 512, 4096]))
def test_tokens_sequences_and_steps_agree(steps: int, sequences: int, length: int) -> None:
    train = _train(global_batch_tokens=sequences * length, sequence_length=length)
    schedule = plan_schedule(train, steps)
    assert schedule.tokens == schedule.steps * schedule.global_batch_tokens
    assert schedule.global_batch_sequences == sequences
    assert 0 <= schedule.warmup_steps <= steps


def test_fractions_become_steps() -> None:
    schedule = plan_schedule(_train(warmup_fraction=0.02, decay_fraction=0.2), 1000)
    assert (schedule.warmup_steps, schedule.decay_steps) == (20, 0)
    schedule = plan_schedule(_train(decay_fraction=0.2, learning_rate_schedule="wsd"), 1000)
    assert schedule.decay_steps == 200


def test_warm_up_and_decay_in_tokens_are_whole_steps_whatever_the_run_s_length() -> None:
    train = _train(
        global_batch_tokens=65_536,
        learning_rate_schedule="wsd",
        warmup_fraction=None,
        warmup_tokens=10 * 65_536 + 1,
        decay_fraction=None,
        decay_tokens=20 * 65_536,
    )
    for steps in (31, 1000):
        schedule = plan_schedule(train, steps)
        assert (schedule.warmup_steps, schedule.decay_steps) == (11, 20)
    assert plan_schedule(train | {"learning_rate_schedule": "cosine"}, 1000).decay_steps == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"warmup_fraction": None, "warmup_tokens": 20_000_000},
            "train.warmup_tokens: train.warmup_tokens 20000000 is more than the run's 6553600 tokens: "
            "lower it, or train longer",
        ),
        (
            {"learning_rate_schedule": "wsd", "decay_fraction": None, "decay_tokens": 6_553_600},
            "train.decay_tokens: train.warmup_fraction 0.02 and train.decay_tokens 6553600 are more than the run's "
            "6553600 tokens: lower it, or train longer",
        ),
    ],
)
def test_warm_up_and_decay_longer_than_the_run_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        plan_schedule(_train(global_batch_tokens=65_536, **changes), 100)
    assert str(refused.value) == says


def test_the_final_learning_rate_is_a_share_of_the_peak() -> None:
    schedule = plan_schedule(_train(learning_rate=3e-4, min_learning_rate_fraction=0.1), 10)
    assert schedule.min_learning_rate == 3e-4 * 0.1


def test_a_run_that_says_nothing_writes_about_ten_checkpoints() -> None:
    for steps in (1, 9, 10, 95, 100_000):
        schedule = plan_schedule(_train(checkpoint_every_steps=None), steps)
        assert 1 <= -(-steps // schedule.checkpoint_every_steps) <= 10


def test_faults_make_checkpoints_more_frequent_and_never_rarer() -> None:
    train = _train(checkpoint_every_steps=None)
    assert plan_schedule(train, 1000, 2.0, 0.1, 60.0).checkpoint_every_steps == 30
    assert plan_schedule(train, 1000, 2.0, 0.1, 1e9).checkpoint_every_steps == 100
    assert plan_schedule(train, 1000, 2.0, 0.1, 0.1).checkpoint_every_steps == 1


def test_in_a_short_run_checkpoints_take_at_most_a_hundredth_of_the_time() -> None:
    train = _train(checkpoint_every_steps=None)
    assert plan_schedule(train, 1000, 0.05, 2.0, 420.0).checkpoint_every_steps == 1000
    assert plan_schedule(train, 10_000, 0.05, 2.0, 420.0).checkpoint_every_steps == 4000
    assert plan_schedule(train, 10_000, 0.05, 2.0, 60.0).checkpoint_every_steps == 1200


def test_what_the_spec_says_of_checkpoints_holds() -> None:
    assert plan_schedule(_train(checkpoint_every_steps=7), 1000, 2.0, 0.1, 60.0).checkpoint_every_steps == 7


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, 2),
        ({"keep_every_steps": 300}, 2 + 3),
        ({"evaluate_every_steps": 50}, 2 + 1),
    ],
)
def test_what_is_kept_for_good_and_the_best_add_to_the_newest(changes: dict[str, int], kept: int) -> None:
    assert checkpoints_kept(plan_schedule(_train(**changes), 1000)) == kept


def test_an_evaluation_takes_a_third_of_a_step_on_as_many_tokens() -> None:
    train = _train(checkpoint_every_steps=100, evaluate_tokens=65_536, global_batch_tokens=131_072)
    assert evaluation_time_s(plan_schedule(train, 1000), 6.0) == 0.0
    for every, evaluations in ((50, 20), (100, 10), (70, 24), (1000, 10)):
        schedule = plan_schedule(train | {"evaluate_every_steps": every}, 1000)
        assert evaluation_time_s(schedule, 6.0) == pytest.approx(evaluations * 1.0)
