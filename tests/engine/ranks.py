"""Trains several plans in one group of processes, one plan after the other: they are started once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch.multiprocessing

from forge.plan.types import Plan


def train_in_ranks(plans: Mapping[Path, tuple[Plan, Path]], processes: int, store: Path) -> None:
    """Train each plan, on the tokens beside it, in its run folder, by `processes` ranks that meet at `store`."""
    torch.multiprocessing.spawn(
        _train, args=(processes, store.as_uri(), dict(plans)), nprocs=processes, join=True
    )


def _train(rank: int, processes: int, store: str, plans: dict[Path, tuple[Plan, Path]]) -> None:
    os.environ |= {"DS_ACCELERATOR": "cpu", "GLOO_SOCKET_IFNAME": "lo", "LOCAL_RANK": str(rank)}
    import torch

    from forge.engine.distributed import join, leave
    from forge.engine.heartbeat import Heartbeat
    from forge.engine.stopping import StopRequest
    from forge.engine.worker import Surroundings, work

    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=processes)
    for run_dir, (plan, tokens) in plans.items():
        (run_dir / "logs").mkdir(exist_ok=True)
        beat = Heartbeat(run_dir / "logs", rank)
        around = Surroundings(run_dir, run_dir.parent / "out", lambda: 0.0, StopRequest(run_dir), beat)
        work(plan, tokens, around, join(plan.layout))
    leave()
    os._exit(0)  # gloo may abort a process that ends by itself
