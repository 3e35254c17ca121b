"""Memory of one device during training, item by item.

Model states: Rajbhandari 2020 (ZeRO), table 1, with what DeepSpeed 0.19 was measured to keep (bf16 weights, fp32
master weights and moments; the gradient partition of stage 3 stays). Saved activations: counted on transformers'
Llama layer under SDPA, bytes a token a layer, equal to the measurement within 0.06 %.
"""

from __future__ import annotations

from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.types import MemoryItem, ModelPlan

BYTES = {"bf16": 2, "fp32": 4}

CUDA_CONTEXT_BYTES = 1024**3
"""A process with CUDA and NCCL: 0.5 to 2 GiB (ml-engineering, debugging notes)."""

CPU_PROCESS_BYTES = 640 * 1024**2
"""Resident memory of a worker before it builds a model: Python, torch, transformers, DeepSpeed.

Measured by benchmarks/cpu_rate.py, November 2026.
"""

FRAGMENTATION_FRACTION = 0.04
"""Reserved but unused by the caching allocator, as a share of what is allocated."""


def memory_items(
    model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int
) -> tuple[MemoryItem, ...]:
    """Return the memory one device needs, item by item, largest kinds first.

    Args:
        model: the network.
        layout: how it is spread.
        hardware: the device it is for.
        sequence_length: tokens in a sequence.
    """
    width = BYTES[layout.precision]
    world = hardware.world_size
    parameters = model.parameters
    tokens = layout.micro_batch_sequences * sequence_length
    weights = width * parameters / (world if layout.zero_stage == 3 else 1)
    gradients = width * parameters / (world if layout.zero_stage >= 2 else 1)
    sharded = world if layout.zero_stage >= 1 else 1
    # Stage 0 in fp32 has no master copy: the weights are the master.
    states = (8 if layout.zero_stage == 0 else 12) * parameters / sharded
    if layout.offload_optimizer == "cpu":
        states = 0
    items = [
        ("parameters", weights),
        ("gradients", gradients),
        ("optimizer states", states),
        ("saved activations", _saved_activations(model, layout, tokens)),
        ("logits and loss", _logits(model, tokens, width)),
    ]
    if layout.zero_stage == 3 and world > 1:
        gathered = 2 * width * _layer_parameters(model)
        items.append(("gathered layers", gathered))
    buckets = layout.bucket_bytes * (2 if world > 1 else 1)
    items.append(("communication buckets", min(buckets, 2 * width * parameters)))
    subtotal = sum(size for _, size in items)
    if hardware.device == "cuda":
        items.append(("allocator fragmentation", FRAGMENTATION_FRACTION * subtotal))
        items.append(("CUDA context", CUDA_CONTEXT_BYTES))
    else:
        items.append(("process", CPU_PROCESS_BYTES))
    return tuple(MemoryItem(name, int(size)) for name, size in items)


def checkpoint_bytes(model: ModelPlan, precision: str) -> int:
    """Return the size of one checkpoint: weights, fp32 master weights and both moments."""
    return (BYTES[precision] + 12) * model.parameters


def _layer_parameters(model: ModelPlan) -> float:
    return (model.parameters - model.vocab_size * model.hidden_size) / model.layers


def _saved_activations(model: ModelPlan, layout: Layout, tokens: int) -> float:
    """Bytes saved for the backward pass: 20h + 4kv + 8i + 4a + 8 a token a layer in bf16.

    With full checkpointing only each layer's input stays (2h), and one layer's activations live while it is
    computed again (Chen 2016).
    """
    scale = BYTES[layout.precision] / 2
    hidden, key_value = model.hidden_size, model.kv_heads * model.head_dim
    feed_forward = model.intermediate_size * max(model.experts_per_token, 1)
    layer = scale * (20 * hidden + 4 * key_value + 8 * feed_forward) + 4 * model.attention_heads + 8
    if layout.activation_checkpointing == "full":
        return tokens * (model.layers * 2 * scale * hidden + layer)
    return tokens * model.layers * layer


def _logits(model: ModelPlan, tokens: int, width: int) -> float:
    """Bytes of the output layer: 8h + 4 + 4V saved, and two fp32 temporaries of the logits at the loss."""
    return tokens * (4 * width * model.hidden_size + 4 + (4 + 8) * model.vocab_size)
