"""Experts over several devices: what a plan says of them, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge.errors import SpecError
from forge.plan.communication import expert_parallel_s, zero_exchange
from forge.plan.efficiency import FORGE_FRAMEWORK, constants
from forge.plan.memory import memory_items
from forge.plan.states import state_bytes
from forge.plan.time import step_time
from forge.plan.weights import held_parameters
from forge.run.plan_facts import plan_facts
from tests.plan.specs import compiled
from tests.plan.time_cases import hardware_of, layout_of, model_of

MIXTURE = ("+recipe=legal_7b", "model=mixtral_8x1b", "hardware=16xh100")
SHARED = (*MIXTURE, "engine.expert_parallel_degree=4")
KEY = "engine.expert_parallel_degree"
VALUES = constants()


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_plan_shows_the_degree_and_tells_deepspeed_what_it_takes(stage: int) -> None:
    plan = compiled(*SHARED, f"engine.zero_stage={stage}")
    assert plan.layout.expert_parallel_degree == 4
    assert "experts over 4" in dict(plan_facts(plan))["layout"]
    assert all("experts over 4" in other.layout for other in plan.search.alternatives)
    # To the batch each device is one that has its own sequences.
    micro, accumulated = plan.layout.micro_batch_sequences, plan.layout.gradient_accumulation_steps
    assert micro * accumulated * 16 == plan.schedule.global_batch_sequences
    assert plan.deepspeed["train_batch_size"] == plan.schedule.global_batch_sequences
    if stage < 3:
        assert plan.deepspeed["zero_optimization"]["reduce_scatter"] is True
    assert plan.deepspeed["prescale_gradients"] is False


def test_it_is_never_chosen() -> None:
    plan = compiled(*MIXTURE)
    assert plan.layout.expert_parallel_degree == 1
    assert not any("experts over" in other.layout for other in plan.search.alternatives)
    assert plan.deepspeed["zero_optimization"].get("reduce_scatter") is not True


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((f"{KEY}=3",), f"{KEY}: 3 does not divide the 8 experts of a layer: use 2 or 4"),
        ((f"{KEY}=3",), f"{KEY}: 3 does not divide the 16 devices: use 2 or 4"),
        (
            ("engine.zero_stage=0", "train.precision=fp32"),
            "engine.zero_stage: at stage 0 gradients are clipped by what one device holds, of shared experts a part: "
            f"use engine.zero_stage=1, or {KEY}=1",
        ),
        (
            ("engine.offload_optimizer=cpu",),
            "engine.offload_optimizer: shared experts stay on their devices: use engine.offload_optimizer=none, or "
            f"{KEY}=1",
        ),
        (
            ("engine.hpz_partition_size=8", "engine.zero_stage=3"),
            "engine.hpz_partition_size: DeepSpeed has no second copy of shared experts: use "
            f"engine.hpz_partition_size=1, or {KEY}=1",
        ),
        (
            ("train.precision=fp16",),
            f"train.precision: shared experts were not trained in fp16: use train.precision=bf16, or {KEY}=1",
        ),
        (
            ("engine.deepspeed.prescale_gradients=true",),
            "engine.deepspeed.prescale_gradients: DeepSpeed divides gradients of shared experts before by itself: drop "
            f"it, or use {KEY}=1",
        ),
        (
            ("engine.deepspeed.zero_optimization.reduce_scatter=false",),
            "engine.deepspeed.zero_optimization.reduce_scatter: DeepSpeed reduces shared experts with true alone: drop "
            f"it, or use {KEY}=1",
        ),
        (
            ("engine.sequence_parallel_degree=2",),
            "engine.sequence_parallel_degree: the experts of a mixture are balanced over whole sequences: use 1",
        ),
        (
            ("engine.compile_layers=true",),
            "engine.compile_layers: layers with experts are not compiled: use engine.compile_layers=false",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(changes: tuple[str, ...], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        compiled(*SHARED, *changes)
    assert says in refused.value.lines


def test_a_dense_model_has_no_experts_to_share() -> None:
    with pytest.raises(SpecError, match=f"^{KEY}: a dense model has no experts to share: use 1$"):
        compiled("+recipe=legal_7b", "hardware=16xh100", f"{KEY}=4")


@pytest.mark.parametrize("degree", [1, 2, 8])
def test_a_device_holds_its_experts_and_its_share_of_their_states(degree: int) -> None:
    model = model_of(experts=8)
    experts = model.layers * 8 * 3 * model.hidden_size * model.intermediate_size
    held = held_parameters(model, degree)
    assert held == model.parameters - experts + experts // degree
    for stage, kept in ((1, 0), (2, 0)):
        layout = layout_of(zero_stage=stage, expert_parallel_degree=degree)
        # Weights in bf16; those in fp32 and moments are shared by as many fewer as hold an expert.
        assert state_bytes(model, layout, 16) == 2 * held + 12 * model.parameters // 16 + kept
    sharded = [
        state_bytes(model, layout_of(zero_stage=3, expert_parallel_degree=each), 16) for each in (1, degree)
    ]
    assert sharded[0] == sharded[1]


def test_more_devices_to_the_experts_need_less_memory_each() -> None:
    model, hardware = model_of(experts=8), hardware_of(nodes=2)
    for stage in (1, 2, 3):
        peaks = [
            sum(
                item.bytes
                for item in memory_items(
                    model, layout_of(zero_stage=stage, expert_parallel_degree=degree), hardware, 2048
                )
            )
            for degree in (1, 2, 4, 8)
        ]
        assert peaks == sorted(peaks, reverse=True)
        assert peaks[0] > peaks[-1]


def test_experts_are_reduced_by_those_that_hold_them_and_tokens_are_sent() -> None:
    model, hardware = model_of(experts=8), hardware_of()
    plain, shared = (layout_of(zero_stage=2, expert_parallel_degree=degree) for degree in (1, 8))
    alone, among = (
        zero_exchange(model, layout, hardware, FORGE_FRAMEWORK, VALUES) for layout in (plain, shared)
    )
    # Each expert is on one device: nobody to exchange it with.
    assert among.micro_batch_s < alone.micro_batch_s / 4
    assert among.after_backward_s < alone.after_backward_s / 4
    assert step_time(model, plain, hardware, 2048).all_to_all_s == 0
    sent_s = step_time(model, shared, hardware, 2048).all_to_all_s
    assert sent_s > 0
    again = step_time(model, replace(shared, activation_checkpointing="full"), hardware, 2048)
    assert again.all_to_all_s == pytest.approx(1.5 * sent_s)


def test_tokens_sent_over_nodes_are_slower() -> None:
    model, hardware = model_of(experts=16), hardware_of(nodes=2)
    assert expert_parallel_s(model, hardware, 1, 4096, 2, 2, VALUES) == 0
    inside, outside = (expert_parallel_s(model, hardware, degree, 4096, 2, 2, VALUES) for degree in (8, 16))
    assert outside > inside > 0


def test_on_cpus_tokens_are_sent_over_their_link() -> None:
    plan = ("model=mixtral_8x1b", "model.layers=2", "model.hidden_size=64", "model.attention_heads=4")
    small = (*plan, "hardware=cpu", "hardware.cpu_processes=2", "engine.micro_batch_sequences=1")
    plain, shared = (
        compiled(*small, f"{KEY}={degree}", "engine.zero_stage=1", "train.precision=fp32")
        for degree in (1, 2)
    )
    assert shared.estimates.step_time_s != plain.estimates.step_time_s
    assert shared.layout.world_size == 2


def test_a_cheaper_plan_keeps_devices_that_share_the_experts_equally() -> None:
    plan = compiled(*MIXTURE, f"{KEY}=8", "train.objective=cost")
    assert plan.layout.world_size % 8 == 0
