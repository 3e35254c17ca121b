"""Memory of one host (node) during a run, item by item.

Three moments can be the worst: every process building the whole model before it is sharded, training with a copy of its
state being written as a checkpoint, and gathering the final weights. The items are those of the worst one.
"""

from __future__ import annotations

import math

from forge.plan.activations import WIDTH_BYTES
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.lowering import PARAMETER_BUFFERS, SWAP_ELEMENTS, parameter_buffer_elements
from forge.plan.memory import memory_items
from forge.plan.states import MOMENTS, checkpoint_bytes
from forge.plan.types import MemoryItem, ModelPlan
from forge.plan.weights import held_parameters, trained_weights

CUDA_PROCESS_BYTES = int(2.5 * 1024**3)
"""Resident memory of a worker with the CUDA libraries loaded; an allowance, not measured here."""

NVME_BUFFERS = 4
"""`offload_optimizer.buffer_count` of DeepSpeed: partitions of optimizer state in host memory at a time."""


def host_memory_items(
    model: ModelPlan,
    layout: Layout,
    hardware: Hardware,
    sequence_length: int,
    training_tokens: int,
) -> tuple[MemoryItem, ...]:
    """Return the memory one node needs at its peak, item by item.

    Args:
        model: the network.
        layout: how it is spread.
        hardware: the node it is for.
        sequence_length: tokens in a sequence.
        training_tokens: tokens of the training split; the order of its sequences is held in memory.
    """
    processes = hardware.devices_per_node
    loader: tuple[str, float] = (
        "loader",
        processes * _loader_bytes(layout, sequence_length, training_tokens),
    )
    copy = checkpoint_bytes(model, layout.optimizer) / hardware.nodes
    if hardware.device == "cpu":
        worker = sum(item.bytes for item in memory_items(model, layout, hardware, sequence_length))
        return _items([("workers", float(processes * worker)), loader, ("checkpoint copy", copy)])
    workers: tuple[str, float] = ("workers", processes * CUDA_PROCESS_BYTES)
    offloaded, pinned = offloaded_bytes(model, layout, hardware.world_size)
    training = [
        workers,
        ("offloaded states", processes * offloaded),
        ("pinned buffers", processes * pinned),
        loader,
    ]
    # Every process builds the whole model in its precision; a weight is drawn in fp32 (forge.engine.initial_weights).
    # Of shared experts it keeps its own.
    held = held_parameters(model, layout.expert_parallel_degree)
    built = WIDTH_BYTES[layout.precision] * held + 4 * _largest_weight(model)
    building = [workers, ("model being built", processes * built)]
    # Ranks keep a copy of what they write of a checkpoint; rank 0 gathers the whole weights at the end, without it.
    weights = WIDTH_BYTES[layout.precision] * model.parameters
    copying = [*training, ("checkpoint copy", copy)]
    gathering = [*training, ("gathered weights", weights)]
    return max(
        (_items(building), _items(copying), _items(gathering)),
        key=lambda items: sum(item.bytes for item in items),
    )


def _items(sizes: list[tuple[str, float]]) -> tuple[MemoryItem, ...]:
    return tuple(MemoryItem(name, round(size)) for name, size in sizes if size)


def _loader_bytes(layout: Layout, sequence_length: int, training_tokens: int) -> float:
    """One process: the order of two epochs, int64, and one micro-batch of inputs and targets. Tokens are mapped."""
    order = 2 * 8 * (training_tokens // sequence_length)
    return order + 2 * 8 * layout.micro_batch_sequences * sequence_length


def offloaded_bytes(model: ModelPlan, layout: Layout, world: int) -> tuple[float, float]:
    """Return (states, what pinning adds) of one process, in host memory.

    On the host are master weights, both moments and a gradient in their precision; stages 1 and 2 add a copy in the
    precision of training and one gradient, stage 2 the sums of earlier micro-batches, stage 3 a gradient in that
    precision (each seen in benchmarks/memory_oracle.py). torch rounds a pinned buffer up to a power of two
    (CachingHostAllocator), and DeepSpeed pins all but the moments.
    """
    w, width = WIDTH_BYTES[layout.precision], WIDTH_BYTES[layout.optimizer_states]
    owned = model.trainable_parameters / (world if layout.zero_stage >= 1 else 1)
    states, pinned_buffers = 0.0, []
    if layout.offload_optimizer == "cpu":
        states += MOMENTS * width * owned
        pinned_buffers += [width * owned, width * owned, w * owned]
        if layout.zero_stage < 3:
            pinned_buffers.append(w * _largest_weight(model))
        if layout.zero_stage == 2 and layout.gradient_accumulation_steps > 1:
            pinned_buffers.append(w * owned)
    elif layout.offload_optimizer == "nvme":
        states += NVME_BUFFERS * 4 * min(owned, SWAP_ELEMENTS)
        pinned_buffers.append(w * owned)
    if layout.offload_parameters == "cpu":
        pinned_buffers.append(w * owned)
    elif layout.offload_parameters == "nvme":
        # What is updated at once is written from one buffer, as large as if no rank shared it (reserve_partitioned_
        # swap_space in DeepSpeed's partitioned_param_swapper.py).
        states += w * PARAMETER_BUFFERS * parameter_buffer_elements(model, world)
        states += w * min(model.parameters, world * SWAP_ELEMENTS)
    states += sum(pinned_buffers)
    return states, sum(_pinned(size) - size for size in pinned_buffers)


def _largest_weight(model: ModelPlan) -> int:
    weights = trained_weights(model)
    return max(weights.embedding, *weights.layer_matrices)


def _pinned(size: float) -> float:
    return 2.0 ** math.ceil(math.log2(size)) if size > 1 else size
