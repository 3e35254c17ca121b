from __future__ import annotations

import pytest

from forge.plan.parametrization import UNSCALED, Scale, scale_of
from tests.factories import tiny_plan
from tests.plan.specs import compiled

LAYER = "model.layers.0."


@pytest.mark.parametrize(
    ("name", "dimensions", "scale"),
    [
        ("model.embed_tokens.weight", 2, UNSCALED),
        ("lm_head.weight", 2, UNSCALED),
        ("model.norm.weight", 1, Scale(1 / 16, 1 / 16)),
        (f"{LAYER}self_attn.q_proj.weight", 2, Scale(1 / 8, 1 / 32)),
        (f"{LAYER}self_attn.q_proj.bias", 1, Scale(1 / 2, 1 / 2)),
        (f"{LAYER}self_attn.k_proj.weight", 2, Scale(1 / 4, 1 / 16)),
        (f"{LAYER}self_attn.k_proj.bias", 1, UNSCALED),
        (f"{LAYER}mlp.down_proj.weight", 2, Scale(1 / 4, 1 / 16)),
        (f"{LAYER}mlp.gate_proj.weight", 2, Scale(1 / 4, 1 / 16)),
        (f"{LAYER}mlp.gate.weight", 2, Scale(1 / 16, 1 / 16)),
        (f"{LAYER}mlp.experts.gate_up_proj", 3, Scale(1 / 4, 1 / 16)),
        (f"{LAYER}input_layernorm.weight", 1, UNSCALED),
    ],
)
def test_scales_of_a_model_sixteen_times_as_wide_with_heads_four_times_as_large(
    name: str, dimensions: int, scale: Scale
) -> None:
    plan = tiny_plan(
        model={"hidden_size": 512, "head_dim": 32},
        schedule={"mup_base_hidden_size": 32, "mup_base_head_dim": 8},
    )
    assert scale_of(name, dimensions, plan.model, plan.schedule) == scale


def test_nothing_is_scaled_at_the_base_width_or_without_mup() -> None:
    for schedule in ({}, {"mup_base_hidden_size": 32}):
        plan = tiny_plan(schedule=schedule)
        for name in ("model.norm.weight", f"{LAYER}self_attn.q_proj.weight"):
            assert scale_of(name, 2, plan.model, plan.schedule) == UNSCALED


def test_the_plan_says_the_base() -> None:
    schedule = compiled("+recipe=legal_tiny").schedule
    assert (schedule.mup_base_hidden_size, schedule.mup_base_head_dim) == (0, 0)
    mup = ("+recipe=legal_tiny", "train.parametrization=mup", "train.mup_base_hidden_size=64")
    assert compiled(*mup).schedule.mup_base_hidden_size == 64
