from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from forge.errors import SpecError
from forge.plan.compile import compile_plan
from forge.plan.lora import ATTENTION, adapted
from forge.plan.memory import allocated_bytes
from forge.plan.model import matmul_flops_per_token
from forge.plan.pretrained import InitialWeights
from forge.plan.states import checkpoint_bytes, state_bytes
from forge.plan.types import ModelPlan, Plan, SourcePlan, load_plan, plan_to_json
from forge.spec.compose import compose_spec
from tests.factories import tiny_plan
from tests.plan.specs import LAPTOP

START = InitialWeights(SourcePlan("/a/model", 1, 1, "0" * 64), 32_000)


def plan_of(*overrides: str, initial: InitialWeights | None = START) -> Plan:
    base = [f"model.init_from={initial.source.path}"] if initial else []
    spec = compose_spec(["model=llama_125m", "hardware=8xh100", *base, *overrides])
    return compile_plan(spec.values, "8xh100", LAPTOP, (), initial)


def test_adapters_are_planned_and_the_plan_reads_back(tmp_path: Any) -> None:
    plan = plan_of("train.lora_rank=16")
    model = plan.model
    h, i, kv = model.hidden_size, model.intermediate_size, model.kv_width
    by_hand = 16 * ((h + h) + 2 * (h + kv) + (h + h) + 3 * (h + i)) * model.layers
    assert model.adapter_parameters == model.trainable_parameters == by_hand
    (tmp_path / "plan.json").write_text(plan_to_json(plan))
    assert load_plan(tmp_path / "plan.json") == plan


def test_a_plan_without_adapters_is_as_before() -> None:
    model = plan_of().model
    assert (model.lora_rank, model.adapter_parameters) == (0, 0)
    assert model.trainable_parameters == model.parameters


def test_frozen_weights_have_no_states_no_gradients_and_no_checkpoint() -> None:
    full, small = plan_of("train.steps=100"), plan_of("train.steps=100", "train.lora_rank=8")
    adapters = small.model.adapter_parameters
    assert checkpoint_bytes(small.model) == 12 * adapters == small.estimates.checkpoint_bytes
    assert small.estimates.peak_memory_bytes < full.estimates.peak_memory_bytes
    assert small.estimates.step_time_s < full.estimates.step_time_s
    layout = replace(_layout(), zero_stage=1)
    assert state_bytes(small.model, layout, 1) == 2 * (small.model.parameters + adapters) + 12 * adapters
    assert allocated_bytes(small.model, layout, 1, 512, 512) < 0.5 * allocated_bytes(
        full.model, layout, 1, 512, 512
    )
    saved = 1 - matmul_flops_per_token(small.model) / matmul_flops_per_token(full.model)
    assert 0.3 < saved < 1 / 3


def _layout() -> Any:
    from benchmarks.memory_configurations import configuration

    return configuration("125M", 1, "bf16", "none", 512, 1, 1).layout


@pytest.mark.parametrize(
    ("model", "train", "starts", "says"),
    [
        (
            {},
            {"lora_rank": None, "lora_dropout": 0.1},
            True,
            "train.lora_dropout: 0.1 is set, and only adapters",
        ),
        ({}, {}, False, "train.lora_rank: 8 is set, and adapters change weights that have been trained"),
        (
            {"family": "mixtral", "experts": 4, "experts_per_token": 2},
            {},
            True,
            "train.lora_target_modules: down_proj of a mixture of experts get no adapters",
        ),
    ],
)
def test_adapters_that_cannot_be_are_one_line(
    model: dict[str, Any], train: dict[str, Any], starts: bool, says: str
) -> None:
    shape: ModelPlan = tiny_plan(model=model).model
    asked = {"lora_rank": 8, "lora_alpha": 16.0, "lora_dropout": 0.0}
    asked |= {"lora_target_modules": [*ATTENTION, "down_proj"]} | train
    with pytest.raises(SpecError) as caught:
        adapted(shape, asked, starts)
    (line,) = caught.value.lines
    assert line.startswith(says)
