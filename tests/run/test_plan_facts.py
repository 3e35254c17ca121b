from __future__ import annotations

import pytest

from forge.run.plan_facts import plan_facts, times
from tests.factories import tiny_plan


@pytest.mark.parametrize(
    ("passes", "said"), [(1.0, "once"), (3.507, "3.5 times"), (0.112, "0.1 times"), (0.012, "0.012 times")]
)
def test_readings_are_counted_in_words(passes: float, said: str) -> None:
    assert times(passes) == said


@pytest.mark.parametrize(
    ("rate", "said"), [(0.0, "q_proj, o_proj: "), (0.05, "q_proj, o_proj, dropout 0.05: ")]
)
def test_adapters_are_shown_with_their_dropout(rate: float, said: str) -> None:
    adapters = {"lora_rank": 4, "lora_alpha": 8.0, "lora_target_modules": ("q_proj", "o_proj")}
    plan = tiny_plan(model=adapters | {"lora_dropout": rate})
    assert dict(plan_facts(plan))["adapters"].startswith(f"LoRA of rank 4 in {said}")
