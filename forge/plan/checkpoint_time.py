"""Time of checkpoints: until one is on disk, and what it takes from training."""

from __future__ import annotations

from forge.plan.hardware import Hardware
from forge.plan.states import checkpoint_bytes
from forge.plan.types import ModelPlan
from forge.plan.update_time import NVME_BYTES_PER_S

CHECKPOINT_FIXED_S = {"cuda": 2.0, "cpu": 0.2}
"""Of a checkpoint whatever its size: files made, synced and renamed on every machine. An allowance, not measured."""

HOST_COPY_BYTES_PER_S = 3e9
"""From one GPU to host memory that is not pinned. An allowance, not measured; all of a machine's GPUs copy at once."""

COPY_FIXED_S = 0.2
"""Of that copy whatever its size: ranks agreeing, a folder made. An allowance, not measured."""


def checkpoint_write_s(model: ModelPlan, hardware: Hardware) -> float:
    """Return seconds from a checkpoint's step until it is on disk: each node writes its part of it.

    That of AdamW: Muon's, smaller by up to a third, takes no longer.
    """
    fixed_s = CHECKPOINT_FIXED_S[hardware.device]
    return fixed_s + checkpoint_bytes(model) / hardware.nodes / NVME_BYTES_PER_S


def checkpoint_stall_s(model: ModelPlan, hardware: Hardware) -> float:
    """Return seconds that a checkpoint takes from training.

    Each rank copies its part of 12 bytes a weight to host memory, and training goes on while the copy is written. On a
    CPU the writing takes its time from the same cores.
    """
    if hardware.device == "cpu":
        return checkpoint_write_s(model, hardware)
    return COPY_FIXED_S + 12.0 * model.trainable_parameters / hardware.world_size / HOST_COPY_BYTES_PER_S
