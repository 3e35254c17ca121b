"""Step time: limits it may not cross, directions it may not move in, and items that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.plan.checkpoint_time import (
    CHECKPOINT_FIXED_S,
    COPY_FIXED_S,
    checkpoint_stall_s,
    checkpoint_write_s,
)
from forge.plan.efficiency import FORGE_FRAMEWORK, FRAMEWORKS, Framework, constants
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.model import matmul_flops_per_token
from forge.plan.step import StepTime
from forge.plan.time import (
    StepTimer,
    step_time,
    step_time_s,
)
from forge.plan.types import ModelPlan
from tests.plan.time_cases import (
    clusters,
    cpu_hardware,
    hardware_of,
    layout_of,
    layouts,
    model_of,
    models,
    sequence_lengths,
)

few = settings(max_examples=60, deadline=None)
SLACK = 1 + 1e-9


@few
@given(models, layouts(), clusters, sequence_lengths)
def test_items_are_not_negative_and_add_up_to_the_step(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int
) -> None:
    items = step_time(model, layout, hardware, length)
    assert all(getattr(items, field.name) >= 0 for field in fields(items))
    assert step_time_s(model, layout, hardware, length) == pytest.approx(items.total_s)
    assert items.total_s > 0


@few
@given(models, layouts(), clusters, sequence_lengths)
def test_never_faster_than_the_measured_ceiling(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int
) -> None:
    tokens = layout.micro_batch_sequences * layout.gradient_accumulation_steps * length
    at_ceiling_s = tokens * matmul_flops_per_token(model) / hardware.matmul_flops[layout.precision]
    # The router's product is counted in the model's parameters and not in the time.
    assert step_time_s(model, layout, hardware, length) * 1.001 >= at_ceiling_s


@few
@given(
    models,
    layouts(),
    clusters,
    sequence_lengths,
    st.sampled_from(["memory_bytes_per_s", "gpu_link_bytes_per_s", "node_link_bytes_per_s"]),
    st.floats(1.1, 10),
)
def test_more_bandwidth_is_never_slower(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int, which: str, factor: float
) -> None:
    faster = replace(hardware, **{which: getattr(hardware, which) * factor})
    before = step_time_s(model, layout, hardware, length)
    # Faster memory also shortens the compute behind which transfers hide, so the sum may stand still.
    assert step_time_s(model, layout, faster, length) <= before * SLACK


@few
@given(models, layouts(), clusters, sequence_lengths, st.floats(1.1, 10))
def test_a_faster_chip_is_never_slower(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int, factor: float
) -> None:
    rates = {precision: rate * factor for precision, rate in hardware.matmul_flops.items()}
    faster = replace(hardware, matmul_flops=rates)
    assert step_time_s(model, layout, faster, length) <= step_time_s(model, layout, hardware, length) * SLACK


@few
@given(models, layouts(), sequence_lengths, st.sampled_from([1, 2, 4, 16, 64]))
def test_more_nodes_never_shorten_a_step_of_the_same_work_for_each_gpu(
    model: ModelPlan, layout: Layout, length: int, nodes: int
) -> None:
    """The optimizer's share, which sharding divides among more devices, is left out."""

    def without_states(hardware: Hardware) -> float:
        items = step_time(model, layout, hardware, length)
        return items.total_s - items.optimizer_s - items.offload_s

    few_nodes, more_nodes = hardware_of(nodes=nodes), hardware_of(nodes=2 * nodes)
    assert without_states(more_nodes) * SLACK >= without_states(few_nodes)


@few
@given(models, layouts(), clusters, sequence_lengths)
def test_recompute_costs_none_at_most_selective_at_most_full(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int
) -> None:
    none, selective, full = (
        step_time(model, replace(layout, activation_checkpointing=mode), hardware, length)
        for mode in ("none", "selective", "full")
    )
    assert none.recompute_s == 0
    assert none.recompute_s <= selective.recompute_s <= full.recompute_s
    assert none.total_s <= selective.total_s * SLACK <= full.total_s * SLACK**2


@few
@given(models, layouts(), clusters, sequence_lengths)
def test_longer_sequences_at_the_same_tokens_are_never_faster(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int
) -> None:
    even = replace(layout, micro_batch_sequences=2 * layout.micro_batch_sequences, attention="eager")
    longer = replace(even, micro_batch_sequences=layout.micro_batch_sequences)
    shorter_s = step_time(model, even, hardware, length).attention_s
    assert step_time(model, longer, hardware, 2 * length).attention_s >= shorter_s


@few
@given(models, layouts(), clusters, sequence_lengths)
def test_one_long_accumulation_is_never_slower_than_as_many_steps(
    model: ModelPlan, layout: Layout, hardware: Hardware, length: int
) -> None:
    once = step_time_s(model, replace(layout, gradient_accumulation_steps=1), hardware, length)
    eight = step_time_s(model, replace(layout, gradient_accumulation_steps=8), hardware, length)
    assert eight <= 8 * once * SLACK


def test_a_timer_says_the_same_for_the_same_layout_whatever_it_was_asked_before() -> None:
    model, hardware = model_of(), hardware_of(nodes=4)
    timer = StepTimer(model, hardware, 2048)
    choices = [
        layout_of(zero_stage=stage, micro_batch_sequences=size, activation_checkpointing=mode)
        for stage in (0, 1, 2, 3)
        for size in (1, 2)
        for mode in ("none", "full")
    ]
    asked_before = [timer.step_s(layout) for layout in choices]
    assert asked_before == [StepTimer(model, hardware, 2048).step_s(layout) for layout in choices]
    assert len(set(asked_before)) > len(choices) / 2


def test_step_time_follows_a_change_of_model_hardware_or_length() -> None:
    layout = layout_of()
    first = step_time_s(model_of(), layout, hardware_of(), 2048)
    assert step_time_s(model_of(layers=16), layout, hardware_of(), 2048) < first
    assert step_time_s(model_of(), layout, hardware_of(), 4096) > first
    assert step_time_s(model_of(), layout, hardware_of(nodes=8), 2048) > first
    assert step_time_s(model_of(), layout, hardware_of(), 2048) == first


def test_one_gpu_communicates_nothing() -> None:
    items = step_time(model_of(layers=4), layout_of(zero_stage=3), hardware_of(devices_per_node=1), 2048)
    assert items.communication_s == 0
    assert items.all_to_all_s == 0


def test_stage_3_on_many_nodes_exposes_more_than_stage_1() -> None:
    model, hardware = model_of(), hardware_of(nodes=16)
    stage_1 = step_time(model, layout_of(gradient_accumulation_steps=8), hardware, 512)
    stage_3 = step_time(model, layout_of(zero_stage=3, gradient_accumulation_steps=8), hardware, 512)
    assert stage_3.communication_s > stage_1.communication_s


def test_offload_moves_the_optimizer_off_the_device_and_nvme_is_slower_than_the_host() -> None:
    model, hardware = model_of(), hardware_of()
    none, cpu, nvme = (
        step_time(model, layout_of(offload_optimizer=place), hardware, 2048)
        for place in ("none", "cpu", "nvme")
    )
    assert none.optimizer_s > 0 == none.offload_s
    assert cpu.optimizer_s == nvme.optimizer_s == 0
    assert none.optimizer_s < cpu.offload_s < nvme.offload_s


def test_a_small_micro_batch_at_stage_3_waits_for_the_host() -> None:
    """DeepSpeed published 0.60 s a step for 6.9 billion parameters, 512 tokens, four H100: most of it not compute."""
    items = step_time(
        model_of(),
        layout_of(zero_stage=3, micro_batch_sequences=1, activation_checkpointing="full"),
        hardware_of(devices_per_node=4),
        512,
    )
    assert items.launch_s > items.total_s / 2
    assert items.total_s == pytest.approx(0.6, rel=0.25)


def test_experts_in_a_loop_hide_no_transfers() -> None:
    model, hardware = model_of(experts=8), hardware_of(nodes=4)
    grouped = FRAMEWORKS["transformers_fsdp"]
    looped = replace(grouped, looped_experts=True)
    layout = layout_of(zero_stage=3)
    in_loop = StepTimer(model, hardware, 2048, looped).step(layout)
    in_group = StepTimer(model, hardware, 2048, grouped).step(layout)
    assert in_loop.communication_s > in_group.communication_s


def test_sequence_parallelism_divides_compute_and_adds_all_to_alls() -> None:
    model, hardware = model_of(), hardware_of()
    whole = step_time(model, layout_of(micro_batch_sequences=1), hardware, 65536)
    shared = step_time(model, layout_of(micro_batch_sequences=1, sequence_parallel_degree=8), hardware, 65536)
    assert shared.attention_s == pytest.approx(whole.attention_s / 8)
    assert shared.all_to_all_s > 0
    assert shared.total_s < whole.total_s / 4


def test_forge_is_deepspeed_over_transformers() -> None:
    assert FRAMEWORKS["deepspeed"] is FORGE_FRAMEWORK
    assert FORGE_FRAMEWORK.gathers_by_module
    assert not FORGE_FRAMEWORK.looped_experts


def test_values_replace_the_constants_that_are_shipped() -> None:
    model, hardware, layout = model_of(), hardware_of(), layout_of()
    slower = {**constants(), "matmul.hopper": 0.60}
    shipped = StepTimer(model, hardware, 2048).step(layout)
    assert StepTimer(model, hardware, 2048, values=slower).step(layout).matmul_s > shipped.matmul_s


def test_hybrid_sharding_gathers_inside_the_node() -> None:
    model, hardware, layout = (
        model_of(),
        hardware_of(nodes=16),
        layout_of(zero_stage=3, micro_batch_sequences=1),
    )
    everywhere = StepTimer(model, hardware, 512).step(layout)
    in_node = StepTimer(model, hardware, 512, shard_ranks=8).step(layout)
    assert in_node.communication_s < everywhere.communication_s


def test_full_recompute_leaves_out_the_last_product_unless_the_checkpoint_re_enters() -> None:
    """The down-projection is a third of the products of a layer whose feed-forward is twice its attention."""
    layout = layout_of(activation_checkpointing="full")
    stops, enters = FORGE_FRAMEWORK, replace(FORGE_FRAMEWORK, recompute_stops_early=False)

    def recompute_s(framework: Framework, experts: int = 0) -> float:
        return StepTimer(model_of(experts=experts), hardware_of(), 512, framework).step(layout).recompute_s

    assert 0.70 < recompute_s(stops) / recompute_s(enters) < 0.85
    assert recompute_s(stops, experts=8) == recompute_s(enters, experts=8)


def test_sums_of_gradients_take_time_from_the_second_micro_batch_on() -> None:
    model, hardware = model_of(), hardware_of()

    def memory_bound_s(steps: int, stage: int = 1) -> float:
        layout = layout_of(gradient_accumulation_steps=steps, zero_stage=stage)
        return step_time(model, layout, hardware, 2048).memory_bound_s

    sum_s = FORGE_FRAMEWORK.accumulation_bytes * model.parameters / hardware.memory_bytes_per_s
    assert memory_bound_s(4) - 4 * memory_bound_s(1) >= 3 * sum_s
    assert memory_bound_s(4, stage=3) == pytest.approx(4 * memory_bound_s(1, stage=3))


def test_stage_2_copies_gradients_into_buckets_each_micro_batch() -> None:
    def memory_bound_s(stage: int, devices: int = 8) -> float:
        hardware = hardware_of(devices_per_node=devices)
        return step_time(model_of(), layout_of(zero_stage=stage), hardware, 2048).memory_bound_s

    assert memory_bound_s(0) == memory_bound_s(1) == memory_bound_s(3) < memory_bound_s(2)
    assert memory_bound_s(2, devices=1) == memory_bound_s(0, devices=1)


def test_casts_to_fp8_kernel_by_kernel_cost_more_than_fp8_gains() -> None:
    """torchtitan, Llama-3-8B on H100: 1.38 s a step in bf16 without the compiler, 2.06 s in fp8."""
    model, hardware, layout = model_of(), hardware_of(), layout_of()
    plain = StepTimer(model, hardware, 8192).step_s(layout)
    fused = StepTimer(model, hardware, 8192, linear_speedup=1.5).step_s(layout)
    eager = StepTimer(model, hardware, 8192, linear_speedup=1.5, eager_casts=True).step_s(layout)
    assert fused < plain < eager < 2 * plain


def test_heads_of_64_slow_down_the_newer_attention_kernels_only() -> None:
    layout, hardware = layout_of(), hardware_of()
    narrow = replace(model_of(), attention_heads=64, kv_heads=64, head_dim=64)

    def ratio(framework: Framework) -> float:
        timers = (StepTimer(model, hardware, 8192, framework) for model in (narrow, model_of()))
        slow, fast = (timer.step(layout).attention_s for timer in timers)
        return slow / fast

    assert ratio(FORGE_FRAMEWORK) > 1.1
    assert ratio(replace(FORGE_FRAMEWORK, attention="flash1")) == pytest.approx(1)


@pytest.mark.parametrize(
    ("seconds", "fixed_s"),
    [(checkpoint_write_s, CHECKPOINT_FIXED_S["cuda"]), (checkpoint_stall_s, COPY_FIXED_S)],
)
def test_a_checkpoint_takes_less_of_more_nodes(
    seconds: Callable[[ModelPlan, Hardware], float], fixed_s: float
) -> None:
    one, four = (seconds(model_of(), hardware_of(nodes=nodes)) for nodes in (1, 4))
    assert four - fixed_s == pytest.approx((one - fixed_s) / 4)


def test_training_does_not_wait_for_what_a_gpu_machine_writes() -> None:
    stall_s, write_s = (each(model_of(), hardware_of()) for each in (checkpoint_stall_s, checkpoint_write_s))
    assert stall_s < write_s


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_cpu_steps_add_up(stage: int, precision: str) -> None:
    model, layout = model_of(layers=2, hidden=256), layout_of(zero_stage=stage, precision=precision)
    one = step_time(model, layout, cpu_hardware(), 128)
    two = step_time(model, layout, cpu_hardware(2), 128)
    assert isinstance(one, StepTime)
    assert step_time_s(model, layout, cpu_hardware(), 128) == pytest.approx(one.total_s)
    assert one.communication_s == 0 < two.communication_s
    assert one.launch_s > 0
