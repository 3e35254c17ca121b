"""Plans of direct preference optimization."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.plan.compile import compile_plan
from forge.plan.pretrained import InitialWeights
from forge.plan.schedule import reference_time_s
from forge.plan.types import Plan, SourcePlan, load_plan, plan_to_json
from forge.spec.compose import compose_spec
from tests.plan.specs import LAPTOP

START = InitialWeights(SourcePlan("/a/model", 1, 1, "0" * 64), 32_000)
PAIRS = SourcePlan("/pairs", 1, 40_000_000, "1" * 64)
DPO = ("train=dpo", "data=chat", "model.init_from=/a/model")


def plan_of(*overrides: str, initial: InitialWeights = START, source: SourcePlan = PAIRS) -> Plan:
    spec = compose_spec(["model=llama_125m", "hardware=8xh100", *overrides])
    return compile_plan(spec.values, "8xh100", LAPTOP, (source,), initial)


def keys(*overrides: str, initial: InitialWeights = START) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan_of(*DPO, *overrides, initial=initial).stages}


def test_the_reference_is_read_before_the_training(tmp_path: Path) -> None:
    plan = plan_of(*DPO)
    names = [stage.name for stage in plan.stages]
    assert names == ["lake", "corpus", "tokenizer", "tokens", "reference", "train", "evaluate", "export"]
    assert plan.stage("reference").inputs == ("tokens",)
    assert plan.stage("train").inputs == ("tokens", "reference")
    assert plan.stage("evaluate").inputs[-1] == "reference"
    assert plan.stage("lake").parameters["records"] == "preference"
    assert plan.schedule.dpo_beta == 0.1
    (tmp_path / "plan.json").write_text(plan_to_json(plan))
    assert load_plan(tmp_path / "plan.json") == plan


def test_other_tasks_have_none() -> None:
    plan = plan_of("train=sft", "data=chat", "model.init_from=/a/model")
    assert "reference" not in {stage.name for stage in plan.stages}
    assert (plan.schedule.dpo_beta, plan.estimates.reference_time_s) == (0, 0)


@pytest.mark.parametrize(
    "override",
    [
        "train.learning_rate=1e-6",
        "train.dpo_beta=0.3",
        "train.lora_rank=8",
        "train.epochs=2",
        "engine.zero_stage=3",
    ],
)
def test_what_only_the_training_is_told_keeps_the_reference(override: str) -> None:
    before, after = keys(), keys(override)
    assert before["reference"] == after["reference"]
    assert before["train"] != after["train"]


def test_what_changes_a_log_probability_changes_the_reference() -> None:
    other = InitialWeights(replace(START.source, sha256="2" * 64), 32_000)
    for changed in (
        keys(initial=other),
        keys("train.sequence_length=2048"),
        keys("train.precision=fp32"),
        keys("data.held_out_fraction=0.2"),
    ):
        assert changed["reference"] != keys()["reference"]


def test_reading_the_reference_is_in_the_estimate() -> None:
    plan, sft = plan_of(*DPO), plan_of("train=sft", "data=chat", "train.epochs=1", "model.init_from=/a/model")
    estimates = plan.estimates
    tokens = 40_000_000 // 4
    by_hand = tokens / plan.schedule.global_batch_tokens * estimates.step_time_s / 3
    assert estimates.reference_time_s == pytest.approx(by_hand)
    assert estimates.wall_clock_s >= estimates.training_time_s + estimates.reference_time_s
    assert estimates.gpu_hours == pytest.approx(8 * estimates.wall_clock_s / 3600)
    assert reference_time_s(plan.schedule, 6.0, 0) == 0
    # A pair lies in a sequence like any other.
    assert plan.schedule.steps == sft.schedule.steps
    assert estimates.step_time_s == sft.estimates.step_time_s
    assert estimates.peak_memory_bytes == sft.estimates.peak_memory_bytes


def test_hours_pay_for_the_reference_too() -> None:
    plan = plan_of(*DPO, "train.epochs=null", "train.hours=0.05")
    assert plan.estimates.wall_clock_s == pytest.approx(180, rel=0.02)
    assert plan.estimates.reference_time_s > 1


def test_mistakes_are_one_line_each() -> None:
    with pytest.raises(SpecError) as caught:
        plan_of("train=dpo", "train.z_loss=1e-4")
    packing, curate, init_from, z_loss = caught.value.lines
    assert packing.startswith(
        "data.packing: concatenate cuts conversations, which train.task=dpo learns whole"
    )
    assert curate.startswith("data.curate: ")
    assert init_from == (
        "model.init_from: train.task=dpo says which answers of a trained model are preferred: name its folder"
    )
    assert z_loss.startswith("train.z_loss: 0.0001 is of the loss on tokens")
