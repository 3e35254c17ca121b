"""The process group: device, backend, threads, and small exchanges between ranks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from forge.engine.expert_parallel import ExpertGroup, join_expert_group
from forge.engine.sequence_parallel import SequenceGroup, join_sequence_group
from forge.plan.types import LayoutPlan


@dataclass(frozen=True, slots=True)
class Place:
    """Where this worker stands."""

    rank: int
    local_rank: int
    """Among the workers of this machine."""
    world_size: int
    device: torch.device
    sequence_group: SequenceGroup | None = None
    """The ranks that share their sequences with this one; None where each has its own."""
    expert_group: ExpertGroup | None = None
    """The ranks that hold all experts together with this one; None where each has all."""


def join(layout: LayoutPlan) -> Place:
    """Join the process group that the environment describes (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT)."""
    import deepspeed

    # On a CPU init_distributed compiles this op, which serves inference only, and fails without a compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    torch.set_num_threads(layout.threads_per_process)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if layout.device == "cuda":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if not torch.distributed.is_initialized():
        deepspeed.init_distributed(dist_backend="nccl" if layout.device == "cuda" else "gloo")
    rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    sequence_group = join_sequence_group(layout.sequence_parallel_degree, rank, world_size)
    expert_group = join_expert_group(layout.expert_parallel_degree)
    return Place(rank, local_rank, world_size, device, sequence_group, expert_group)


def leave() -> None:
    """Leave the process group."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def sum_over_ranks(values: list[float], place: Place) -> list[float]:
    """Return each value summed over ranks; all ranks call it."""
    packed = torch.tensor(values, dtype=torch.float64, device=place.device)
    torch.distributed.all_reduce(packed)
    return [float(value) for value in packed.tolist()]


def max_over_ranks(value: int, place: Place) -> int:
    """Return the largest `value` of any rank; all ranks call it."""
    packed = torch.tensor([value], dtype=torch.int64, device=place.device)
    torch.distributed.all_reduce(packed, op=torch.distributed.ReduceOp.MAX)
    return int(packed.item())


def from_rank_0(value: Any, place: Place) -> Any:
    """Return rank 0's `value` (plain data) on every rank; all ranks call it."""
    box = [value if place.rank == 0 else None]
    torch.distributed.broadcast_object_list(box, src=0, device=place.device)
    return box[0]


def from_each_rank(value: Any, place: Place) -> list[Any]:
    """Return every rank's `value` (plain data), in order of rank, on every rank; all ranks call it."""
    values: list[Any] = [None] * place.world_size
    torch.distributed.all_gather_object(values, value)
    return values
