from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.plan.activations import layer_kept, layer_saved
from forge.plan.gathered import LIVE_BUCKETS, PERSISTENT_HIDDEN_SIZES, gathered_elements
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.lowering import deepspeed_config
from forge.plan.memory import (
    CPU_PROCESS_BYTES,
    CUDA_CONTEXT_BYTES,
    FRAGMENTATION_FRACTION,
    allocated_bytes,
    memory_items,
    peak_bytes,
    saved_bytes,
)
from forge.plan.model import plan_model
from forge.plan.states import BYTES, state_bytes
from forge.plan.types import ModelPlan
from forge.plan.weights import weights_of

GIB = 1024**3


def model(**changes: Any) -> ModelPlan:
    """Return Llama 2 7B, with changes."""
    shape = {
        "family": "llama",
        "layers": 32,
        "hidden_size": 4096,
        "attention_heads": 32,
        "kv_heads": 32,
        "head_dim": None,
        "intermediate_size": 11008,
        "rope_theta": 1e4,
        "rms_norm_epsilon": 1e-5,
        "tied_embeddings": False,
        "initializer_std": 0.02,
        "experts": 0,
        "experts_per_token": 0,
    }
    vocabulary = changes.pop("vocab_size", 32000)
    return plan_model(shape | changes, vocabulary, 4096)


def layout(**changes: Any) -> Layout:
    """Return ZeRO-1 in bf16, one sequence, no checkpointing, with changes."""
    values: dict[str, Any] = {
        "zero_stage": 1,
        "micro_batch_sequences": 1,
        "gradient_accumulation_steps": 1,
        "activation_checkpointing": "none",
        "offload_optimizer": "none",
        "precision": "bf16",
        "bucket_bytes": 100_000_000,
    }
    return Layout(**(values | changes))


def hardware(world_size: int = 8, device: Any = "cuda") -> Hardware:
    """Return GPUs of which only their number matters here."""
    return Hardware(
        name="gpus",
        device=device,
        gpu="h100" if device == "cuda" else "",
        nodes=max(world_size // 8, 1),
        devices_per_node=min(world_size, 8),
        threads_per_process=4,
        device_memory_bytes=80 * GIB,
        host_memory_bytes=2000 * GIB,
        peak_flops=1e15,
        matmul_flops={"bf16": 8e14, "fp32": 4e14},
        memory_bytes_per_s=3e12,
        gpu_link_bytes_per_s=4e11,
        node_link_bytes_per_s=4e11,
        usd_per_gpu_hour=None,
        native_bf16=True,
    )


SMALL = {
    "llama": model(layers=4, hidden_size=512, attention_heads=8, kv_heads=4, intermediate_size=1408),
    "mixtral": model(
        family="mixtral",
        layers=4,
        hidden_size=512,
        attention_heads=8,
        kv_heads=4,
        intermediate_size=1024,
        experts=8,
        experts_per_token=2,
    ),
    "qwen2": model(
        family="qwen2", layers=4, hidden_size=512, attention_heads=8, kv_heads=4, intermediate_size=1408
    ),
    "qwen3_moe": model(
        family="qwen3_moe",
        layers=4,
        hidden_size=512,
        attention_heads=8,
        kv_heads=4,
        head_dim=128,
        intermediate_size=256,
        experts=8,
        experts_per_token=2,
    ),
}

# The first call of a model is slow, the rest are cached: no deadline.
models = st.sampled_from([*SMALL.values(), model(), model(tied_embeddings=True, layers=3)])
worlds = st.sampled_from([1, 2, 8, 64])
layouts = st.builds(
    layout,
    zero_stage=st.sampled_from([1, 2, 3]),
    micro_batch_sequences=st.integers(1, 16),
    gradient_accumulation_steps=st.sampled_from([1, 4]),
    activation_checkpointing=st.sampled_from(["none", "selective", "full"]),
    precision=st.sampled_from(["bf16", "fp32"]),
    bucket_bytes=st.sampled_from([1_000_000, 100_000_000, 1_000_000_000]),
    attention=st.sampled_from(["sdpa", "flash", "eager"]),
    loss_chunks=st.sampled_from([1, 8]),
)


def test_a_layer_saves_what_was_counted_by_hand() -> None:
    # Per token in bf16: 20 h + 4 kv + 8 i + 4 a + 8, with h = q = 4096.
    expected = 20 * 4096 + 4 * 4096 + 8 * 11008 + 4 * 32 + 8
    assert layer_saved(model(), "bf16", "sdpa").token == expected
    assert layer_saved(model(), "bf16", "flash") == layer_saved(model(), "bf16", "sdpa")
    # Grouped queries save narrower keys and values: a quarter of 4 kv less three quarters.
    assert layer_saved(model(kv_heads=8), "bf16", "sdpa").token == expected - 3 * 4096
    # Norms of queries and keys: 6 q + 6 kv + 4 a number of each head.
    normed = layer_saved(model(family="qwen3", kv_heads=8), "bf16", "sdpa").token
    assert normed == expected - 3 * 4096 + 6 * 4096 + 6 * 1024 + 4 * 32 + 4 * 8
    # fp32: 24 h + 8 q + 8 kv + 16 i + 4 a + 8.
    assert layer_saved(model(), "fp32", "sdpa").token == 40 * 4096 + 16 * 11008 + 4 * 32 + 8


def test_a_checkpointed_layer_keeps_its_input_and_a_selective_one_its_products() -> None:
    assert layer_kept(model(), "bf16", "sdpa", "full").token == 2 * 4096
    # Input, q, k, v, attention's output and its fp32 sums, the output projection, gate, up and down.
    expected = 2 * (4096 + 3 * 4096 + 4096 + 4096 + 2 * 11008 + 4096) + 4 * 32
    assert layer_kept(model(), "bf16", "sdpa", "selective").token == expected


def test_eager_attention_saves_the_scores() -> None:
    assert layer_saved(model(), "bf16", "eager").score == 6 * 32
    assert layer_saved(model(), "bf16", "sdpa").score == 0
    assert layer_kept(model(), "bf16", "eager", "selective").score == 0


@pytest.mark.parametrize(
    ("stage", "precision", "expected"),
    [
        (0, "fp32", 4 + 8),
        (1, "bf16", 2 + 12 / 8),
        (2, "bf16", 2 + 12 / 8),
        (3, "bf16", (2 + 12 + 2) / 8),
        (1, "fp32", 4 + 12 / 8),
    ],
)
def test_states_are_those_of_the_zero_paper(stage: Any, precision: Any, expected: float) -> None:
    chosen = layout(zero_stage=stage, precision=precision, bucket_bytes=1_000_000)
    # Norm weights, which stage 3 keeps whole, and its bucket are within a thousandth.
    assert state_bytes(model(), chosen, 8) == pytest.approx(expected * model().parameters, rel=2e-3)


def test_the_peak_of_a_plain_layout_is_its_loss() -> None:
    # ZeRO-1 on 8 GPUs: states, all layers' activations, final norm, rotary tables, ids, three fp32 logits.
    tokens = 8 * 4096
    saved = 32 * (24 * 4096 + 8 * 11008 + 136) + 8 * 4096 + 4 + 16
    expected = 3.5 * model().parameters + tokens * (saved + 12 * 32000) + 2 * 2 * 128 * 4096
    assert allocated_bytes(model(), layout(), 8, 4096, tokens) == pytest.approx(expected, rel=1e-9)


def test_items_outside_the_allocator() -> None:
    cuda = {item.name: item.bytes for item in memory_items(model(), layout(), hardware(), 4096)}
    allocated = sum(cuda.values()) - cuda["CUDA context"] - cuda["allocator fragmentation"]
    assert cuda["CUDA context"] == CUDA_CONTEXT_BYTES
    assert cuda["allocator fragmentation"] == pytest.approx(FRAGMENTATION_FRACTION * allocated)
    cpu = {item.name: item.bytes for item in memory_items(model(), layout(), hardware(1, "cpu"), 4096)}
    assert cpu["process"] == CPU_PROCESS_BYTES
    assert "CUDA context" not in cpu


@settings(deadline=None)
@given(models, layouts, worlds, st.sampled_from([512, 4096, 32768]))
def test_the_items_add_up_to_the_peak(shape: ModelPlan, chosen: Layout, world: int, length: int) -> None:
    items = memory_items(shape, chosen, hardware(world), length)
    assert all(item.bytes > 0 for item in items)
    assert len({item.name for item in items}) == len(items)
    assert sum(item.bytes for item in items) == pytest.approx(
        peak_bytes(shape, chosen, hardware(world), length), abs=16
    )


@settings(deadline=None)
@given(models, layouts, worlds)
def test_more_tokens_never_need_less(shape: ModelPlan, chosen: Layout, world: int) -> None:
    place = hardware(world)
    more = replace(chosen, micro_batch_sequences=chosen.micro_batch_sequences + 1)
    assert peak_bytes(shape, more, place, 2048) >= peak_bytes(shape, chosen, place, 2048)
    assert peak_bytes(shape, chosen, place, 4096) >= peak_bytes(shape, chosen, place, 2048)


@settings(deadline=None)
@given(models, layouts, worlds)
def test_a_higher_stage_never_keeps_more_states(shape: ModelPlan, chosen: Layout, world: int) -> None:
    # Stage 3 keeps its gradients' buffer, so it saves nothing where two devices or fewer share.
    stages: tuple[Any, ...] = (1, 2, 3) if world > 2 else (1, 2)
    chosen = replace(chosen, bucket_bytes=0)
    states = [state_bytes(shape, replace(chosen, zero_stage=stage), world) for stage in stages]
    assert states == sorted(states, reverse=True)


@settings(deadline=None)
@given(models, layouts, worlds)
def test_stage_2_never_needs_more_than_stage_1(shape: ModelPlan, chosen: Layout, world: int) -> None:
    # On one device it does: it copies gradients while activations are alive, stage 1 when they are gone.
    # With accumulation it may: the sums of the earlier micro-batches and of this one lie side by side.
    place = hardware(max(world, 2))
    chosen = replace(chosen, gradient_accumulation_steps=1)
    first, second = (peak_bytes(shape, replace(chosen, zero_stage=stage), place, 2048) for stage in (1, 2))
    assert second <= first


@settings(deadline=None)
@given(models, layouts, worlds)
def test_checkpointing_never_saves_more(shape: ModelPlan, chosen: Layout, world: int) -> None:
    kinds: tuple[Any, ...] = ("none", "selective", "full")
    sizes = [saved_bytes(shape, replace(chosen, activation_checkpointing=kind), 2048) for kind in kinds]
    assert sizes == sorted(sizes, reverse=True)


@settings(deadline=None)
@given(models, layouts, worlds)
def test_offloading_and_chunks_never_need_more(shape: ModelPlan, chosen: Layout, world: int) -> None:
    place = hardware(world)
    # At stages 1 and 2 gradients leave through a buffer of the largest weight: on many devices it is all that changes.
    weights = weights_of(shape)
    buffer = BYTES[chosen.precision] * max(weights.embedding, *weights.layer_matrices)
    most = peak_bytes(shape, chosen, place, 2048) + 1.05 * buffer * (chosen.zero_stage < 3)
    assert peak_bytes(shape, replace(chosen, offload_optimizer="cpu"), place, 2048) <= most
    # At stage 3 the head gathered again for each chunk moves the prefetching of layers.
    stage: Any = min(chosen.zero_stage, 2)
    shorter = replace(chosen, zero_stage=stage, loss_chunks=8, micro_batch_sequences=16)
    assert peak_bytes(shape, shorter, place, 8192) <= peak_bytes(
        shape, replace(shorter, loss_chunks=1), place, 8192
    )


@pytest.mark.parametrize("shape", [*SMALL.values(), model(), model(tied_embeddings=True)])
def test_the_weights_are_all_counted(shape: ModelPlan) -> None:
    weights = weights_of(shape)
    head = 0 if weights.tied else weights.head
    layers = shape.layers * sum(weights.layer_matrices)
    assert weights.embedding + layers + head + weights.vectors == shape.parameters


@settings(max_examples=30, deadline=None)
@given(models, st.sampled_from([500_000, 50_000_000]), st.booleans(), st.sampled_from([1, 4]))
def test_stage_3_never_gathers_more_than_two_copies(
    shape: ModelPlan, bucket: int, recompute: bool, chunks: int
) -> None:
    gathered = gathered_elements(shape, bucket, recompute, chunks, 8)
    most = max(gathered.loss, *(elements for _, elements in gathered.layers))
    assert weights_of(shape).head <= gathered.loss
    assert most <= (3 if shape.experts else 2) * shape.parameters
    assert gathered_elements(shape, bucket, recompute, chunks, 1).loss == 0


def test_the_experts_of_stage_3_stay_gathered_without_checkpointing() -> None:
    shape = replace(SMALL["mixtral"], layers=64)
    experts = 64 * sum(weights_of(shape).layer[-1][-2:])
    assert gathered_elements(shape, 500_000, False, 1, 8).loss > experts
    assert gathered_elements(shape, 500_000, True, 1, 8).loss < experts / 8


def test_the_gathering_assumed_is_the_one_lowered() -> None:
    chosen = layout(zero_stage=3)
    zero = deepspeed_config(chosen, hardware(), 1.0, model())["zero_optimization"]
    bucket = chosen.bucket_bytes // 2
    assert zero["stage3_prefetch_bucket_size"] == zero["reduce_bucket_size"] == bucket
    assert zero["stage3_max_live_parameters"] == zero["stage3_max_reuse_distance"] == LIVE_BUCKETS * bucket
    assert zero["stage3_param_persistence_threshold"] == PERSISTENT_HIDDEN_SIZES * model().hidden_size
    assert zero["contiguous_gradients"]
    assert zero["overlap_comm"]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_states_in_bf16_take_half_and_fp16_takes_what_bf16_takes(stage: Literal[1, 2, 3]) -> None:
    shape, wide = model(), layout(zero_stage=stage)
    narrow = replace(wide, optimizer_states="bf16")
    assert state_bytes(shape, wide, 8) - state_bytes(shape, narrow, 8) == pytest.approx(
        6 * shape.parameters / 8, abs=8
    )
    assert allocated_bytes(shape, narrow, 8, 512, 512) < allocated_bytes(shape, wide, 8, 512, 512)
    half = replace(wide, precision="fp16")
    assert allocated_bytes(shape, half, 8, 512, 512) == allocated_bytes(shape, wide, 8, 512, 512)
