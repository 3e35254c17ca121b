from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from forge.plan.schedule import plan_schedule
from tests.plan.specs import composed


def _train(**changes: Any) -> dict[str, Any]:
    values, _ = composed()
    train: dict[str, Any] = values["train"] | changes
    return train


@settings(deadline=None)
@given(tokens=st.integers(1, 10**13), sequences=st.integers(1, 4096), length=st.sampled_from([8, 512, 4096]))
def test_a_token_budget_is_rounded_up_to_whole_steps(tokens: int, sequences: int, length: int) -> None:
    batch = sequences * length
    schedule = plan_schedule(_train(tokens=tokens, global_batch_tokens=batch, sequence_length=length))
    assert schedule.tokens == schedule.steps * batch
    assert tokens <= schedule.tokens < tokens + batch
    assert schedule.global_batch_sequences == sequences


def test_a_step_budget_is_taken_as_it_is() -> None:
    schedule = plan_schedule(_train(tokens=None, steps=70, global_batch_tokens=8192, sequence_length=512))
    assert (schedule.steps, schedule.tokens) == (70, 70 * 8192)


def test_fractions_become_steps() -> None:
    schedule = plan_schedule(_train(tokens=None, steps=1000, warmup_fraction=0.02, decay_fraction=0.2))
    assert (schedule.warmup_steps, schedule.decay_steps) == (20, 0)
    schedule = plan_schedule(
        _train(tokens=None, steps=1000, decay_fraction=0.2, learning_rate_schedule="wsd")
    )
    assert schedule.decay_steps == 200


def test_the_final_learning_rate_is_a_share_of_the_peak() -> None:
    schedule = plan_schedule(_train(learning_rate=3e-4, min_learning_rate_fraction=0.1))
    assert schedule.min_learning_rate == 3e-4 * 0.1


def test_a_run_that_says_nothing_keeps_about_ten_checkpoints() -> None:
    for steps in (1, 9, 10, 95, 100_000):
        schedule = plan_schedule(_train(tokens=None, steps=steps, checkpoint_every_steps=None))
        assert 1 <= -(-steps // schedule.checkpoint_every_steps) <= 10
    assert plan_schedule(_train(checkpoint_every_steps=7)).checkpoint_every_steps == 7
