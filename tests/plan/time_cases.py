"""Models, hardware and layouts that the tests of step time draw from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from forge.plan.hardware import GIB, Hardware
from forge.plan.layout import Layout
from forge.plan.types import ModelPlan


def model_of(
    layers: int = 32, hidden: int = 4096, experts: int = 0, kv_heads: int | None = None
) -> ModelPlan:
    """Return a Llama-like model; with experts, a Mixtral-like one."""
    heads = hidden // 128
    feed_forward, vocab = 11 * hidden // 4, 32000
    kv_heads = kv_heads or heads
    attention = 2 * hidden * hidden + 2 * hidden * 128 * kv_heads
    width = 3 * hidden * feed_forward
    active = 2 if experts else 0
    outside = 2 * vocab * hidden
    return ModelPlan(
        family="mixtral" if experts else "llama",
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=128,
        intermediate_size=feed_forward,
        vocab_size=vocab,
        max_sequence_length=1 << 20,
        rope_theta=1e4,
        rms_norm_epsilon=1e-5,
        tied_embeddings=False,
        initializer_std=0.02,
        experts=experts,
        experts_per_token=active,
        parameters=outside + layers * (attention + max(experts, 1) * width),
        active_parameters=outside + layers * (attention + max(active, 1) * width),
    )


def hardware_of(nodes: int = 1, devices_per_node: int = 8, **changes: Any) -> Hardware:
    """Return nodes of H100 SXM."""
    base = Hardware(
        name="test",
        device="cuda",
        gpu="h100-sxm-80gb",
        nodes=nodes,
        devices_per_node=devices_per_node,
        threads_per_process=4,
        device_memory_bytes=80 * GIB,
        host_memory_bytes=1024 * GIB,
        peak_flops=989e12,
        matmul_flops={"bf16": 794.5e12, "fp32": 397e12},
        memory_bytes_per_s=3.35e12,
        gpu_link_bytes_per_s=450e9,
        node_link_bytes_per_s=400e9,
        usd_per_gpu_hour=None,
        native_bf16=True,
    )
    return replace(base, **changes)


def cpu_hardware(processes: int = 1) -> Hardware:
    """Return a machine without a GPU."""
    return hardware_of(
        devices_per_node=processes,
        device="cpu",
        gpu="",
        matmul_flops={"bf16": 0.2e12, "fp32": 0.1e12},
        memory_bytes_per_s=10e9,
        gpu_link_bytes_per_s=2e9,
        node_link_bytes_per_s=2e9,
    )


def layout_of(**changes: Any) -> Layout:
    """Return a plain layout with some choices changed."""
    base = Layout(
        zero_stage=1,
        micro_batch_sequences=2,
        gradient_accumulation_steps=1,
        activation_checkpointing="none",
        offload_optimizer="none",
        precision="bf16",
        bucket_bytes=200_000_000,
        attention="sdpa",
    )
    return replace(base, **changes)


models = st.builds(
    model_of,
    layers=st.integers(1, 96),
    hidden=st.sampled_from([256, 1024, 4096, 8192]),
    experts=st.sampled_from([0, 0, 8]),
)
sequence_lengths = st.sampled_from([128, 512, 2048, 8192, 131072])
clusters = st.builds(
    hardware_of,
    nodes=st.sampled_from([1, 2, 16, 128]),
    devices_per_node=st.sampled_from([1, 4, 8]),
    gpu=st.sampled_from(
        ["v100-sxm-32gb", "a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm", "mi300x", "rtx-4090", "x"]
    ),
)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Return any layout the search may ask about."""
    stage = draw(st.sampled_from([0, 1, 2, 3]))
    return layout_of(
        zero_stage=stage,
        micro_batch_sequences=draw(st.integers(1, 64)),
        gradient_accumulation_steps=draw(st.integers(1, 32)),
        activation_checkpointing=draw(st.sampled_from(["none", "selective", "full"])),
        offload_optimizer=draw(st.sampled_from(["none", "cpu", "nvme"])),
        offload_parameters=draw(st.sampled_from(["none", "cpu", "nvme"])) if stage == 3 else "none",
        precision=draw(st.sampled_from(["bf16", "fp32"])),
        bucket_bytes=draw(st.sampled_from([1, 10_000_000, 1_000_000_000])),
        attention=draw(st.sampled_from(["sdpa", "flash", "eager"])),
        loss_chunks=draw(st.sampled_from([1, 8])),
    )
