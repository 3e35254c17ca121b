"""Time of one optimiser step: compute at the chip's measured ceiling, memory traffic, communication, optimizer.

A first roofline; its constants are named here and each says where it comes from.
"""

from __future__ import annotations

from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.memory import BYTES
from forge.plan.model import attention_flops_per_token, matmul_flops_per_token
from forge.plan.types import ModelPlan

GPU_MATMUL_EFFICIENCY = 0.85
"""Share of the measured matrix ceiling that layers of a training step reach. Published: llm-foundry, torchtitan."""

GPU_BANDWIDTH_EFFICIENCY = 0.75
"""Share of HBM bandwidth that element-wise kernels reach without fusion."""

COMMUNICATION_EFFICIENCY = 0.6
"""Share of the link rate that all-gather and reduce-scatter reach (ml-engineering, all_reduce_bench on H100)."""

EXPOSED_COMMUNICATION_FRACTION = 0.35
"""Share of communication that compute does not hide. DeepSpeed overlaps gathers and reductions with compute."""

HOST_LINK_BYTES_PER_S = 25e9
"""PCIe 4 x16, one direction, as measured for pinned copies."""

CPU_STEP_OVERHEAD_S = 0.03
"""DeepSpeed's own time a micro-batch on a CPU. Measured by benchmarks/cpu_rate.py, November 2026."""


def step_time_s(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> float:
    """Return seconds for one optimiser step over all accumulation steps."""
    tokens = layout.micro_batch_sequences * sequence_length
    micro_batches = layout.gradient_accumulation_steps
    compute = _compute_s(model, layout, hardware, sequence_length, tokens)
    communication = _communication_s(model, layout, hardware)
    per_micro = compute + (communication if layout.zero_stage >= 2 else 0.0)
    once = 0.0 if layout.zero_stage >= 2 else communication
    overhead = CPU_STEP_OVERHEAD_S * micro_batches if hardware.device == "cpu" else 0.0
    return micro_batches * per_micro + once + _optimizer_s(model, layout, hardware) + overhead


def _compute_s(
    model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int, tokens: int
) -> float:
    """Forward and backward of one micro-batch. SDPA on a GPU skips the masked half of attention."""
    causal = 0.5 if hardware.device == "cuda" else 1.0
    flops = tokens * (
        matmul_flops_per_token(model) + causal * attention_flops_per_token(model, sequence_length)
    )
    recompute = 4 / 3 if layout.activation_checkpointing == "full" else 1.0
    rate = hardware.matmul_flops[layout.precision]
    if hardware.device == "cpu":
        return recompute * flops / rate
    # Element-wise kernels read and write what the matrix products produce: about three passes over a layer's
    # activations forward and twice that backward.
    width = BYTES[layout.precision]
    feed_forward = model.intermediate_size * max(model.experts_per_token, 1)
    traffic = tokens * model.layers * width * (24 * model.hidden_size + 12 * feed_forward)
    traffic += tokens * model.vocab_size * 20
    bandwidth = hardware.memory_bytes_per_s * GPU_BANDWIDTH_EFFICIENCY
    return recompute * (flops / (rate * GPU_MATMUL_EFFICIENCY) + traffic / bandwidth)


def _communication_s(model: ModelPlan, layout: Layout, hardware: Hardware) -> float:
    """Exposed communication of one reduction: 2 volumes of the parameters, 3 at stage 3 (Rajbhandari 2020, §7)."""
    world = hardware.world_size
    if world == 1:
        return 0.0
    volumes = 3 if layout.zero_stage == 3 else 2
    volume = volumes * BYTES[layout.precision] * model.parameters * (world - 1) / world
    return EXPOSED_COMMUNICATION_FRACTION * volume / (hardware.link_bytes_per_s * COMMUNICATION_EFFICIENCY)


def _optimizer_s(model: ModelPlan, layout: Layout, hardware: Hardware) -> float:
    """AdamW reads and writes master weights and moments and reads gradients: 28 bytes a parameter owned."""
    owned = model.parameters / (hardware.world_size if layout.zero_stage >= 1 else 1)
    seconds = 28 * owned / (hardware.memory_bytes_per_s * GPU_BANDWIDTH_EFFICIENCY)
    if layout.offload_optimizer == "cpu":
        # Gradients go out and weights come back over PCIe; the host's AdamW runs at its own memory's speed.
        seconds = owned * (2 * BYTES[layout.precision] / HOST_LINK_BYTES_PER_S + 28 / 80e9)
    return seconds
