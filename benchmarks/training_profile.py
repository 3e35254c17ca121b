"""Where a step of two processes goes, in forge and in a plain torch loop: processor time by what it is spent on.

    python -m benchmarks.training_profile [--processes 2] [--steps 6] [--tokens 16] [--systems ...]

The network of `benchmarks.training` in fp32, on so few tokens that nearly all of a step is what it costs whatever the
batch: gradients brought together, AdamW, weights handed out. Processor time and not the clock, so that a busy machine
shows the same: of the training thread by function (cProfile on that thread's clock), of gloo's threads, and how much
of both is the kernel's, most of it pages of fresh memory. Forge runs as it lowers a plan, and with DeepSpeed's default
of `reduce_scatter`. The bare loop is DistributedDataParallel.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import training
from forge.plan.types import Plan

SYSTEMS = ("bare torch", "forge", "forge, reduce_scatter", "forge, ZeRO 0")
WARM_UP_STEPS = 2

KINDS = {
    "forward and backward pass": ("run_backward", "linear", "scaled_dot_product_attention"),
    "copies of gradients": ("copy_", "flatten_dense_tensors", "torch.cat"),
    "scaling and clipping": ("div_", "mul_", "_foreach_mul_"),
    "norm, and whether it is finite": ("norm", "'to' of", "isinf", "isnan", "logical_or", "'any'"),
    "AdamW": ("_fused_adamw_",),
}
"""Functions by what they are for, by a part of their name; the first that fits."""
REST = "the rest of the training thread"


def kind_of(function: str) -> str:
    """Return which of `KINDS` a function is, REST where none."""
    return next((kind for kind, parts in KINDS.items() if any(part in function for part in parts)), REST)


def one_step(system: str, plan: Plan) -> Callable[[], Any]:
    """Return what trains one step of `plan` on made-up tokens."""
    import torch

    from forge.engine.loss import micro_batch_loss
    from forge.engine.model import build_model
    from forge.engine.worker import build_engine

    length = plan.schedule.sequence_length
    ids = torch.randint(3, plan.model.vocab_size, (1, length), generator=torch.Generator().manual_seed(1))
    if system == "bare torch":
        network = torch.nn.parallel.DistributedDataParallel(build_model(plan.model, plan.seed))
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)

        def bare() -> Any:
            logits = network(input_ids=ids, use_cache=False).logits.flatten(0, 1)
            torch.autograd.backward(torch.nn.functional.cross_entropy(logits, ids.flatten()))
            torch.nn.utils.clip_grad_norm_(network.parameters(), plan.schedule.gradient_clip)
            optimizer.step()
            optimizer.zero_grad()

        return bare
    if system == "forge, reduce_scatter":
        plan.deepspeed["zero_optimization"]["reduce_scatter"] = True
    elif system == "forge, ZeRO 0":
        plan = replace(plan, layout=replace(plan.layout, zero_stage=0))
        plan.deepspeed["zero_optimization"] = {"stage": 0}
    engine = build_engine(plan)

    def forge() -> None:
        engine.backward(micro_batch_loss(engine, ids, ids, plan.model).total)
        engine.step()

    return forge


def measure(system: str, plan: Plan, steps: int) -> dict[str, float]:
    """Return milliseconds of processor time a step by kind, over `steps`."""
    import torch

    from forge.engine.distributed import join

    join(plan.layout)
    step = one_step(system, plan)
    for _ in range(WARM_UP_STEPS):
        step()
    profile = cProfile.Profile(time.thread_time)
    before, began_s, began_process_s = (
        resource.getrusage(resource.RUSAGE_SELF),
        time.thread_time(),
        time.process_time(),
    )
    profile.enable()
    for _ in range(steps):
        step()
    profile.disable()
    after, thread_s, process_s = (
        resource.getrusage(resource.RUSAGE_SELF),
        time.thread_time() - began_s,
        time.process_time() - began_process_s,
    )
    torch.distributed.barrier()
    found = dict.fromkeys((*KINDS, REST), 0.0)
    for (_, _, name), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        found[kind_of(name)] += own_s
    found["gloo's threads"] = process_s - thread_s
    found["all"] = process_s
    found["of it the kernel"] = after.ru_stime - before.ru_stime
    return {kind: 1e3 * seconds / steps for kind, seconds in found.items()}


def run(system: str, plan: Plan, steps: int) -> dict[str, float]:
    """Measure a system in processes of its own; return what rank 0 found."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world = plan.layout.world_size
    environment = training.worker_environment(plan, port)
    command = [sys.executable, "-m", "benchmarks.training_profile", "--system", system]
    command += ["--processes", str(world), "--steps", str(steps)]
    command += ["--tokens", str(plan.schedule.sequence_length)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        workers = []
        with log.open("wb") as file:
            for rank in range(world):
                place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "FORGE_FOUND": f"{folder}/{rank}"}
                workers.append(subprocess.Popen(command, env=environment | place, stdout=file, stderr=file))
            statuses = [worker.wait() for worker in workers]
        if any(statuses):
            raise RuntimeError(log.read_text(encoding="utf-8", errors="replace"))
        found: dict[str, float] = json.loads(Path(folder, "0").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Print one row a kind of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--systems", nargs="+", default=SYSTEMS, choices=SYSTEMS)
    parser.add_argument("--system", help=argparse.SUPPRESS)
    given = parser.parse_args()
    plan = training.training_plan(given.processes, 1, 1, given.steps, "fp32", given.tokens)
    if given.system:
        Path(os.environ["FORGE_FOUND"]).write_text(
            json.dumps(measure(given.system, plan, given.steps)), encoding="utf-8"
        )
        os._exit(0)  # leaving the group in order makes gloo abort now and then
    columns = [run(system, plan, given.steps) for system in given.systems]
    print(
        f"Milliseconds of processor time a step and process, {given.processes} processes, "
        f"load {os.getloadavg()[1]:.0f}\n"
    )
    print(f"| | {' | '.join(given.systems)} |")
    print("|---|" + "---:|" * len(columns))
    for kind in columns[0]:
        print(f"| {kind} | {' | '.join(f'{column[kind]:.0f}' for column in columns)} |")


if __name__ == "__main__":
    main()
