from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.plan.budget import budget_steps
from forge.plan.hardware import resolve_hardware
from tests.plan.specs import LAPTOP, compiled, composed

BATCH = 65_536
NOTHING = dict.fromkeys(("tokens", "steps", "epochs", "hours", "budget_usd"))


def _steps(
    hardware_name: str = "8xh100", step_time_s: float = 2.0, training_tokens: int = 0, **budget: Any
) -> int:
    values, name = composed(f"hardware={hardware_name}")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    return budget_steps(values["train"] | NOTHING | budget, hardware, step_time_s, 0.9, training_tokens)


@settings(deadline=None)
@given(st.integers(1, 10**13))
def test_tokens_are_rounded_up_to_whole_steps(tokens: int) -> None:
    steps = _steps(tokens=tokens)
    assert tokens <= steps * BATCH < tokens + BATCH


def test_each_way_of_giving_a_budget() -> None:
    assert _steps(steps=70) == 70
    assert _steps(epochs=2.5, training_tokens=4 * BATCH) == 10
    assert _steps(hours=1) == 1620  # 3600 s of which nine tenths are progress, at two seconds a step
    assert _steps(budget_usd=8 * 2.95) == 1620


@pytest.mark.parametrize(
    ("budget", "line"),
    [
        ({"epochs": 1.0}, "train.epochs: the length of a pass is not known"),
        ({"hours": 0.0001}, "train.hours: 0.0001 h does not pay for one step, 2.22 s on hardware=8xh100"),
        ({"budget_usd": 0.01}, "train.budget_usd: $0.01 does not pay for one step, 2.22 s and $0.0146 on"),
        (
            {"budget_usd": 5.0, "hardware_name": "cpu"},
            "train.budget_usd: hardware=cpu has no price: give hardware.usd",
        ),
    ],
)
def test_a_budget_that_pays_for_nothing_is_one_line(budget: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        _steps(**budget)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(line)


@pytest.mark.parametrize("override", ["train.hours=24", "train.budget_usd=5000", "train.epochs=2"])
def test_a_plan_keeps_to_its_budget(override: str) -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100", override)
    estimates, train = plan.estimates, plan.spec["train"]
    assert train["tokens"] is None
    one_step = estimates.wall_clock_s / plan.schedule.steps
    if train["hours"] is not None:
        assert 24 * 3600 - one_step <= estimates.wall_clock_s <= 24 * 3600
    if train["budget_usd"] is not None:
        assert estimates.cost_usd is not None
        assert estimates.cost_usd == pytest.approx(5000, rel=0.001)
        assert estimates.cost_usd <= 5000
    if train["epochs"] is not None:
        assert estimates.corpus_passes == pytest.approx(2, rel=0.001)


def test_two_budgets_are_a_contradiction_by_name() -> None:
    with pytest.raises(
        SpecError, match=r"given as train.hours and as train.budget_usd: give one, the other null"
    ):
        composed("train.hours=3", "train.budget_usd=100")
    with pytest.raises(SpecError, match=r"train.tokens and as train.epochs and as train.hours"):
        composed("train.tokens=1000000", "train.epochs=1", "train.hours=3")
    with pytest.raises(SpecError, match=r"there is no budget: give train.tokens, train.steps"):
        composed("train.tokens=null")
