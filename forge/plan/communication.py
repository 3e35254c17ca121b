"""Time of the collectives of one optimizer step: what ZeRO moves, over which links, in how many messages.

A ring over n devices takes bytes (n - 1) / n / bandwidth, and n - 1 times the latency of its slowest hop for each
message (Patarasuk 2009). The latency is what makes measured bandwidth collapse with the node count: in
`collectives.csv` (H100, 256 MB) an all-gather falls from 250 GB/s on one node to 11 GB/s on 64, which is 0.25 s/GB
of bandwidth plus 15 to 45 us for each of 511 steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from forge.plan.efficiency import (
    MATRICES_A_LAYER,
    MATRICES_AN_EXPERT,
    TENSORS_A_LAYER,
    Framework,
    generation_of,
)
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.types import ModelPlan
from forge.plan.weights import held_parameters

NODE_HOP_S = 3e-6
"""One step of a ring inside a node (NCCL over NVLink, nccl-tests small messages)."""

REDUCE_HOP_SHARE = 0.35
"""A step of an all-reduce against one of an all-gather: `collectives.csv` at 256 MB on 8 to 64 nodes gives 12 us for
each of its 2 (n - 1) steps, and 24 to 43 us for each of an all-gather's."""

BROADCAST_CHUNK_BYTES = 2 * 2**20
"""What a node has received of a broadcast before it sends on: four channels of NCCL's 512 KiB."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Seconds of transfers of one device, before any of it is hidden."""

    micro_batch_s: float
    """Of each micro-batch; forward and backward can hide it."""
    last_backward_s: float
    """Once a step; the last backward pass can hide it."""
    after_backward_s: float
    """Once a step, when nothing is left to compute."""


def bandwidth_bytes_per_s(
    hardware: Hardware, ranks: int, constants: Mapping[str, float], across: bool = False
) -> float:
    """Return the bus bandwidth of one ring over `ranks` devices, one direction.

    Args:
        hardware: devices and links.
        ranks: devices in the ring, filling nodes one after the other.
        constants: `link` and `network`, the shares of the line rate that NCCL reaches.
        across: one device of each node, beside as many such rings as a node has devices.
    """
    link = hardware.gpu_link_bytes_per_s * constants["link"]
    if not across and ranks <= hardware.devices_per_node:
        return link
    own = f"network.{generation_of(hardware.gpu)}"
    network = hardware.node_link_bytes_per_s * constants[own if own in constants else "network"]
    if across:
        network /= hardware.devices_per_node
    # A chunk crosses both kinds of link; NCCL pipelines the hops only in part.
    return 1 / (1 / link + 1 / network)


def ring_s(
    hardware: Hardware,
    size_bytes: float,
    ranks: int,
    messages: float,
    constants: Mapping[str, float],
    across: bool = False,
) -> float:
    """Return seconds to all-gather or reduce-scatter `size_bytes` (of the whole) over `ranks` devices."""
    if ranks <= 1:
        return 0.0
    leaves_node = hardware.nodes > 1 and (across or ranks > hardware.devices_per_node)
    hop_s = _hop_s(hardware, constants) if leaves_node else NODE_HOP_S
    bandwidth = bandwidth_bytes_per_s(hardware, ranks, constants, across)
    return size_bytes * (ranks - 1) / ranks / bandwidth + messages * (ranks - 1) * hop_s


def _hop_s(hardware: Hardware, constants: Mapping[str, float]) -> float:
    return constants["hop_s"] if hardware.node_hop_s is None else hardware.node_hop_s


def zero_exchange(
    model: ModelPlan,
    layout: Layout,
    hardware: Hardware,
    framework: Framework,
    constants: Mapping[str, float],
    shard_ranks: int | None = None,
) -> Exchange:
    """Return the transfers of one step under a ZeRO stage (Rajbhandari 2020, §7; hpZ: Wang 2023).

    Experts that devices share are exchanged among those that hold the same ones, all else among all (Rajbhandari 2022,
    DeepSpeed-MoE, §5).

    Stage 3 gathers the parameters for the forward pass and again for the backward pass and scatters gradients, for
    each micro-batch. Stage 2 scatters gradients for each micro-batch and gathers parameters after the optimizer.
    Stage 1 scatters once a step, stage 0 reduces once a step and gathers nothing.

    Args:
        model: the network.
        layout: ZeRO stage, bucket size, hpZ.
        hardware: devices and links.
        framework: in what units it gathers.
        constants: link shares and latency.
        shard_ranks: devices that share one copy of the states (hybrid sharding); None: all.
    """
    world, degree = hardware.world_size, layout.expert_parallel_degree
    if degree == 1:
        modules = gathered_modules(model, framework)
        whole = model.parameters, model.trainable_parameters
        return _exchange(model, *whole, world, modules, layout, hardware, framework, constants, shard_ranks)
    # Adapters do not go with shared experts: all is trained.
    held = (model.parameters - held_parameters(model, degree)) // (degree - 1)
    others = model.parameters - degree * held
    dense = _exchange(model, others, others, world, model.layers + 2, layout, hardware, framework, constants)
    copies = world // degree
    experts = _exchange(
        model, held, held, copies, model.layers, layout, hardware, framework, constants, apart=True
    )
    return Exchange(
        dense.micro_batch_s + experts.micro_batch_s,
        dense.last_backward_s + experts.last_backward_s,
        dense.after_backward_s + experts.after_backward_s,
    )


def _exchange(
    model: ModelPlan,
    parameters: int,
    trained: int,
    world: int,
    modules: int,
    layout: Layout,
    hardware: Hardware,
    framework: Framework,
    constants: Mapping[str, float],
    shard_ranks: int | None = None,
    apart: bool = False,
) -> Exchange:
    """Return the transfers of the `parameters` of `model` that `world` devices have, of which `trained` get gradients.

    `modules` are the messages of a gather of all; devices that are `apart` are on as many nodes as there are.
    """
    if world == 1:
        return Exchange(0.0, 0.0, 0.0)
    shard = min(shard_ranks or world, world)
    replicas = max(world // shard, 1)
    width = 4 if layout.precision == "fp32" else 2
    weights = float(width * parameters)
    gradients = max(framework.gradient_bytes, width) * trained
    bucket = max(layout.bucket_bytes, 1)
    buckets = math.ceil(weights / bucket)

    def ring(size: float, ranks: int, messages: float, across: bool = False) -> float:
        return ring_s(hardware, size, ranks, messages, constants, across or (apart and hardware.nodes > 1))

    # Gradients are summed over the copies of a shard once it has been reduced within its group.
    across = shard >= hardware.devices_per_node
    between_copies = 2 * ring(gradients / shard, replicas, REDUCE_HOP_SHARE * buckets, across)
    all_reduce = 2 * ring(gradients, world, REDUCE_HOP_SHARE * buckets)
    if layout.zero_stage == 3:
        near = layout.hpz_partition_size
        backward_ranks = near if near > 1 else shard
        gathers = ring(weights, shard, modules) + ring(weights, backward_ranks, modules)
        reduction = ring(gradients, shard, min(buckets, modules))
        return Exchange(gathers + reduction, between_copies, 0.0)
    if layout.zero_stage == 0:
        return Exchange(0.0, all_reduce, 0.0)
    if framework.whole_tensor_shards:
        owners = min(model.layers * TENSORS_A_LAYER + 3, shard)
        reduction, between_copies = all_reduce, 0.0
        refresh = ring(weights, shard, 0) + owners * _broadcast_fill_s(hardware, shard, constants)
    else:
        reduction = ring(gradients, shard, buckets)
        refresh = ring(weights, shard, buckets)
    hidden, waited = (refresh, 0.0) if framework.refresh_overlaps else (0.0, refresh)
    if layout.zero_stage == 2:
        return Exchange(reduction, between_copies + hidden, waited)
    return Exchange(0.0, reduction + between_copies + hidden, waited)


def _broadcast_fill_s(hardware: Hardware, ranks: int, constants: Mapping[str, float]) -> float:
    """Return seconds until the last of `ranks` devices in a chain receives the first chunk of a broadcast."""
    nodes = math.ceil(ranks / hardware.devices_per_node)
    network = BROADCAST_CHUNK_BYTES / bandwidth_bytes_per_s(hardware, hardware.world_size, constants)
    return (nodes - 1) * (network + _hop_s(hardware, constants)) + (ranks - nodes) * NODE_HOP_S


def gathered_modules(model: ModelPlan, framework: Framework) -> int:
    """Return the messages of one gather of all parameters at stage 3."""
    if not framework.gathers_by_module:
        return model.layers + 2
    looped = MATRICES_AN_EXPERT * (model.experts - 1) if model.experts and framework.looped_experts else 0
    return model.layers * (MATRICES_A_LAYER + looped) + 2


def sequence_parallel_s(
    model: ModelPlan,
    hardware: Hardware,
    degree: int,
    tokens: int,
    width: int,
    passes: int,
    constants: Mapping[str, float],
) -> float:
    """Return seconds of Ulysses' all-to-alls for one micro-batch (Jacobs 2023, §3.2).

    Each pass of a layer sends queries, keys, values and outputs once; every device keeps 1 / degree of them.

    Args:
        model: the network.
        hardware: devices and links.
        degree: devices that share a sequence.
        tokens: tokens on one device.
        width: bytes of an element.
        passes: forward, backward, and forward again where activations are computed again.
        constants: link shares and latency.
    """
    if degree <= 1:
        return 0.0
    query, key_value = model.attention_heads * model.head_dim, model.kv_heads * model.head_dim
    size = tokens * width * 2 * (query + key_value)
    return passes * model.layers * _all_to_alls_s(hardware, degree, size, 4, constants)


def expert_parallel_s(
    model: ModelPlan,
    hardware: Hardware,
    degree: int,
    tokens: int,
    width: int,
    passes: int,
    constants: Mapping[str, float],
) -> float:
    """Return seconds of the exchanges with shared experts for one micro-batch (GShard, Lepikhin 2020, §2.2).

    Each pass of a layer sends every token's hidden state to each of its experts, and their outputs back; before, how
    many will come. Experts are taken to be in even use: in fact all wait for the device to which most tokens go.

    Args:
        model: the network.
        hardware: devices and links.
        degree: devices that share the experts.
        tokens: tokens on one device.
        width: bytes of an element.
        passes: forward, backward, and forward again where activations are computed again.
        constants: link shares and latency.
    """
    if degree <= 1:
        return 0.0
    size = 2 * tokens * width * model.experts_per_token * model.hidden_size
    return passes * model.layers * _all_to_alls_s(hardware, degree, size, 3, constants)


def _all_to_alls_s(
    hardware: Hardware, degree: int, size_bytes: int, exchanges: int, constants: Mapping[str, float]
) -> float:
    """Return seconds of some all-to-alls of `degree` devices, of `size_bytes` together on each."""
    # A device sends (degree - 1) / degree of what it holds; over a network, at its own share of the node's.
    crosses = degree > hardware.devices_per_node
    rate = bandwidth_bytes_per_s(hardware, degree, constants, across=crosses)
    hop_s = _hop_s(hardware, constants) if crosses else NODE_HOP_S
    return size_bytes * (degree - 1) / degree / rate + exchanges * hop_s
