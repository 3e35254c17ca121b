"""Trains several plans in one group of processes, one plan after the other: they are started once."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch.multiprocessing.spawn import spawn

from forge.plan.types import Plan


def train_in_ranks(
    plans: Mapping[Path, tuple[Plan, Path]],
    processes: int,
    taken_over: Mapping[Path, Path] | None = None,
    references: Mapping[Path, Path] | None = None,
) -> None:
    """Train each plan, on the tokens beside it, in its run folder, by `processes` ranks.

    A run folder in `taken_over` is first given a copy of the checkpoint there, which may be of a run before it. One in
    `references` learns preferences: the ranks first make its reference in that empty folder.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = (processes, port, dict(plans), dict(taken_over or {}), dict(references or {}))
    spawn(_train, given, processes)  # type: ignore[no-untyped-call]


def _train(
    rank: int,
    processes: int,
    port: int,
    plans: dict[Path, tuple[Plan, Path]],
    taken_over: dict[Path, Path],
    references: dict[Path, Path],
) -> None:
    os.environ |= {
        "DS_ACCELERATOR": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }

    from forge.engine.distributed import join, leave
    from forge.engine.heartbeat import Heartbeat
    from forge.engine.reference import refer
    from forge.engine.stopping import StopRequest
    from forge.engine.worker import Surroundings, work

    for run_dir, (plan, tokens) in plans.items():
        if rank == 0 and run_dir in taken_over:
            checkpoint = taken_over[run_dir]
            shutil.copytree(checkpoint, run_dir / "checkpoints" / checkpoint.name)
        (run_dir / "logs").mkdir(exist_ok=True)
        out, reference = run_dir.parent / "out", references.get(run_dir)
        beat = Heartbeat(run_dir / "logs", rank)
        around = Surroundings(run_dir, out, lambda: 0.0, StopRequest(run_dir), beat, reference)
        place = join(plan.layout)
        if reference is not None:
            refer(plan, tokens, replace(around, out=reference), place)
        work(plan, tokens, around, place)
    leave()
    os._exit(0)  # gloo may abort a process that ends by itself
