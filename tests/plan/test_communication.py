"""Collectives: volumes by ZeRO stage, latency by ranks, links by place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.plan.communication import (
    bandwidth_bytes_per_s,
    gathered_modules,
    ring_s,
    sequence_parallel_s,
    zero_exchange,
)
from forge.plan.efficiency import FORGE_FRAMEWORK, FRAMEWORKS, Framework, constants
from tests.plan.time_cases import hardware_of, layout_of, model_of

VALUES = constants()
FREE_LATENCY = {**VALUES, "hop_s": 0.0}


@given(st.floats(1, 1e12), st.integers(2, 1024), st.integers(1, 100))
def test_a_ring_takes_its_bandwidth_and_its_hops(size: float, ranks: int, messages: int) -> None:
    hardware = hardware_of(nodes=128)
    rate = bandwidth_bytes_per_s(hardware, ranks, VALUES)
    hop_s = VALUES["hop_s"] if ranks > 8 else 3e-6
    expected = size * (ranks - 1) / ranks / rate + messages * (ranks - 1) * hop_s
    assert ring_s(hardware, size, ranks, messages, VALUES) == pytest.approx(expected)


def test_one_rank_moves_nothing() -> None:
    assert ring_s(hardware_of(), 1e9, 1, 5, VALUES) == 0


def test_bandwidth_falls_where_a_ring_leaves_the_node() -> None:
    hardware = hardware_of(nodes=4)
    inside, outside = (bandwidth_bytes_per_s(hardware, ranks, VALUES) for ranks in (8, 32))
    assert outside < inside < hardware.gpu_link_bytes_per_s
    assert outside < hardware.node_link_bytes_per_s
    assert bandwidth_bytes_per_s(hardware, 4, VALUES, across=True) < outside


def test_measured_collapse_with_nodes_is_latency() -> None:
    """collectives.csv, all-gather of 256 MB on AWS P5: 69, 55, 28 and 11 GB/s on 8, 16, 32 and 64 nodes."""
    values = {**VALUES, "hop_s": 35e-6}
    for nodes, measured in ((8, 69e9), (16, 55e9), (32, 28e9), (64, 11e9)):
        ranks = 8 * nodes
        seconds = ring_s(hardware_of(nodes=nodes), 256e6, ranks, 1, values)
        bus_bandwidth = 256e6 * (ranks - 1) / ranks / seconds
        assert bus_bandwidth == pytest.approx(measured, rel=0.35)


def test_volumes_are_those_of_the_zero_paper() -> None:
    """Without latency: 2 volumes at stages 0 to 2, 3 at stage 3 (Rajbhandari 2020, section 7)."""
    model, hardware = model_of(), hardware_of()
    volume = ring_s(hardware, 2.0 * model.parameters, 8, 0, FREE_LATENCY)
    totals = []
    for stage in (0, 1, 2, 3):
        layout = layout_of(zero_stage=stage, bucket_bytes=1 << 60)
        found = zero_exchange(model, layout, hardware, FRAMEWORKS["fsdp"], FREE_LATENCY)
        totals.append(found.micro_batch_s + found.last_backward_s + found.after_backward_s)
    assert totals == pytest.approx([2 * volume, 2 * volume, 2 * volume, 3 * volume], rel=0.05)


def test_when_each_stage_communicates() -> None:
    model, hardware = model_of(), hardware_of(nodes=2)
    stage_0, stage_1, stage_2, stage_3 = (
        zero_exchange(model, layout_of(zero_stage=stage), hardware, FORGE_FRAMEWORK, VALUES)
        for stage in range(4)
    )
    assert stage_0.micro_batch_s == stage_1.micro_batch_s == 0
    assert stage_0.after_backward_s == stage_3.after_backward_s == 0
    assert stage_2.micro_batch_s > 0
    assert stage_1.after_backward_s > 0
    assert stage_3.micro_batch_s > stage_2.micro_batch_s


def test_hpz_gathers_for_the_backward_pass_from_near() -> None:
    model, hardware = model_of(), hardware_of(nodes=8)
    far = zero_exchange(model, layout_of(zero_stage=3), hardware, FORGE_FRAMEWORK, VALUES)
    near = zero_exchange(
        model, layout_of(zero_stage=3, hpz_partition_size=8), hardware, FORGE_FRAMEWORK, VALUES
    )
    assert near.micro_batch_s < far.micro_batch_s


def test_smaller_buckets_cost_more_latency() -> None:
    model, hardware = model_of(), hardware_of(nodes=16)
    small, large = (
        zero_exchange(model, layout_of(bucket_bytes=size), hardware, FORGE_FRAMEWORK, VALUES)
        for size in (10_000_000, 1_000_000_000)
    )
    assert small.last_backward_s > large.last_backward_s


def test_deepspeed_gathers_more_pieces_than_fsdp() -> None:
    model = model_of(layers=10)
    assert gathered_modules(model, FORGE_FRAMEWORK) == 72
    assert gathered_modules(model, FRAMEWORKS["fsdp"]) == 12


def test_no_all_to_all_without_sequence_parallelism() -> None:
    assert sequence_parallel_s(model_of(), hardware_of(), 1, 4096, 2, 2, VALUES) == 0


def test_all_to_all_over_nodes_is_slower() -> None:
    model = model_of()
    inside = sequence_parallel_s(model, hardware_of(nodes=2), 8, 4096, 2, 2, VALUES)
    outside = sequence_parallel_s(model, hardware_of(nodes=2), 16, 4096, 2, 2, VALUES)
    assert outside > inside > 0


def test_owners_of_whole_tensors_broadcast_in_time_that_grows_with_devices() -> None:
    """InternLM-7B, global ZeRO 1: from 512 to 1024 GPUs a step became 1.5 s longer, in groups of 8 it did not."""
    model, layout = model_of(), layout_of(bucket_bytes=1 << 30)
    owners = replace(FRAMEWORKS["megatron"], whole_tensor_shards=True)
    flat = FRAMEWORKS["megatron"]

    def seconds(framework: Framework, nodes: int, shard: int | None = None) -> float:
        hardware = hardware_of(nodes=nodes, node_link_bytes_per_s=50e9)
        return zero_exchange(model, layout, hardware, framework, VALUES, shard).last_backward_s

    added = seconds(owners, 128) - seconds(owners, 64)
    assert 0.5 < added < 2
    assert seconds(flat, 128) - seconds(flat, 64) < added / 5
    assert seconds(owners, 128, shard=8) - seconds(owners, 64, shard=8) < added / 5


def test_parameters_come_back_behind_the_next_forward_pass_or_before_it() -> None:
    model, layout, hardware = model_of(), layout_of(), hardware_of(nodes=2)
    behind = zero_exchange(model, layout, hardware, FRAMEWORKS["megatron"], VALUES)
    waits = replace(FRAMEWORKS["megatron"], refresh_overlaps=False)
    before = zero_exchange(model, layout, hardware, waits, VALUES)
    assert behind.after_backward_s == 0 < before.after_backward_s
    assert behind.last_backward_s == pytest.approx(before.last_backward_s + before.after_backward_s)


def test_a_step_of_an_all_reduce_is_shorter_than_one_of_an_all_gather() -> None:
    """collectives.csv, all-reduce of 256 MB on AWS P5: 99.6, 84.7, 64.9 and 32.9 GB/s on 8, 16, 32 and 64 nodes."""
    values = {**VALUES, "hop_s": 35e-6}
    layout = layout_of(zero_stage=0, bucket_bytes=256_000_000)
    model = replace(model_of(), parameters=128_000_000)
    for nodes, measured in ((8, 99.6e9), (16, 84.7e9), (32, 64.9e9), (64, 32.9e9)):
        found = zero_exchange(model, layout, hardware_of(nodes=nodes), FORGE_FRAMEWORK, values)
        share = (8 * nodes - 1) / (8 * nodes)
        assert 2 * 256e6 * share / found.last_backward_s == pytest.approx(measured, rel=0.4)
