"""Time of what is done to gradients and states on a GPU: the optimizer, offload, buckets, sums over micro-batches."""

from __future__ import annotations

from typing import NamedTuple

from forge.plan.cpu_time import CPU_ADAM_BYTES, states_width_ratio
from forge.plan.disk import SWAPPED_STATES_BYTES
from forge.plan.efficiency import Framework
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.muon import orthogonalization_flops
from forge.plan.types import ModelPlan
from forge.plan.weights import held_parameters

HOST_LINK_BYTES_PER_S = {
    "volta": 12e9,
    "ampere": 24e9,
    "ada": 24e9,
    "hopper": 50e9,
    "blackwell": 50e9,
    "cdna": 50e9,
}
"""PCIe 3, 4 or 5 x16, one direction, as measured for pinned copies."""

HOST_MEMORY_BYTES_PER_S = 160e9
"""Memory bandwidth of one machine that DeepSpeed's CPU AdamW and pinned copies of all its devices share."""

NVME_BYTES_PER_S = 6e9
"""Of one machine, read or write (Rajbhandari 2021, §7: 3 to 7 GB/s a drive)."""

BUCKET_PASSES = 2
"""At ZeRO stage 2, of every gradient each micro-batch: read, and written into the bucket that is reduced. At stage 3
such copies run beside the transfers and are part of what `exposed` is fitted to."""


class Update(NamedTuple):
    """Seconds on one device."""

    optimizer_s: float
    """Once a step, on the device."""
    offload_s: float
    """Once a step: states on the host or a disk."""
    offload_micro_batch_s: float
    """Of each micro-batch: parameters on the host or a disk."""
    copies_s: float
    """Of each micro-batch: gradients into buckets."""
    sums_s: float
    """Of each micro-batch but the first: its gradients added to those before."""


def update_time(
    model: ModelPlan,
    layout: Layout,
    hardware: Hardware,
    framework: Framework,
    generation: str,
    memory_bytes_per_s: float,
    shard_ranks: int | None = None,
) -> Update:
    """Return what a step takes beside forward, backward and transfers.

    Args:
        model: the network.
        layout: what is sharded, offloaded and shared.
        hardware: devices and links.
        framework: what runs the step.
        generation: of the devices.
        memory_bytes_per_s: what element-wise kernels reach of a device's memory.
        shard_ranks: devices that share one copy of the states; None: all.
    """
    shard = shard_ranks or hardware.world_size
    owned = model.trainable_parameters / (shard if layout.zero_stage >= 1 else 1)
    width = 4 if layout.precision == "fp32" else 2
    sharing = hardware.devices_per_node
    link = min(HOST_LINK_BYTES_PER_S[generation], HOST_MEMORY_BYTES_PER_S / 2 / sharing)
    nvme = NVME_BYTES_PER_S / sharing
    on_device, once, each = 0.0, 0.0, 0.0
    narrow = states_width_ratio(layout)
    if layout.offload_optimizer == "none":
        on_device = owned * narrow * framework.kernels.optimizer_bytes / memory_bytes_per_s
        if layout.optimizer == "muon":  # in fp16, as fast as bf16
            on_device += orthogonalization_flops(model) / shard / hardware.matmul_flops["bf16"]
    else:
        # Gradients go out, weights come back, AdamW runs at the speed of the host's memory.
        host_s = CPU_ADAM_BYTES * narrow * sharing / HOST_MEMORY_BYTES_PER_S
        once = owned * (2 * width / link + host_s)
        if layout.offload_optimizer == "nvme":
            once += owned * 2 * SWAPPED_STATES_BYTES / nvme
    if layout.offload_parameters != "none":
        # A device reads its share of the weights for the forward and again for the backward pass.
        share = width * model.parameters / shard
        each = 2 * share / (nvme if layout.offload_parameters == "nvme" else link)
    # Where gradients are sharded, what a device sums is too little to count.
    summed_bytes = framework.accumulation_bytes if layout.zero_stage <= 1 else 0.0
    copied_bytes = BUCKET_PASSES * width if layout.zero_stage == 2 and hardware.world_size > 1 else 0.0
    elsewhere = model.parameters - held_parameters(model, layout.expert_parallel_degree)
    an_element_s = (model.trainable_parameters - elsewhere) / memory_bytes_per_s
    return Update(on_device, once, each, copied_bytes * an_element_s, summed_bytes * an_element_s)
