"""Train the same few steps in every way they can be carried out, and print how far the losses lie apart.

    python -m benchmarks.equality [--processes 1 2 4] [--precision fp32 bf16]

A tiny model trains on this machine's CPU over gloo: every number of processes x every ZeRO stage x every number of
accumulated micro-batches that make the same global batch, and each way to recompute activations. A cell is the largest
difference of any step's loss, in nats a token, from the same precision on one process at ZeRO stage 1 without
accumulation. Sums in another order are all that may differ; recomputing changes no order, so it must give 0.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.engine.events import read_events
from forge.plan.types import Plan, load_plan, plan_to_json
from tests.factories import tiny_plan, write_tokens

BOUND = {"fp32": 5e-6, "bf16": 4e-3}
"""Nats a token: the most that another order of additions may do to the loss of any of the `STEPS` steps."""

STAGES = {
    "fp32": (0, 1, 2, 3),
    "bf16": (1, 2, 3),
}  # forge plans no bf16 at stage 0: DeepSpeed 0.19 trains it wrongly
ACCUMULATIONS = (1, 2, 4)
RECOMPUTATIONS = ("selective", "full")
GLOBAL_BATCH_SEQUENCES = 16
STEPS = 12


@dataclass(frozen=True, slots=True)
class Way:
    """One way to carry the training out."""

    processes: int
    zero_stage: int
    accumulation: int
    precision: str
    recomputation: str = "none"

    @property
    def name(self) -> str:
        """A name for its folder."""
        return (
            f"{self.processes}p-z{self.zero_stage}-a{self.accumulation}-{self.precision}-{self.recomputation}"
        )


def reference(precision: str) -> Way:
    """Return the way that the others are compared with."""
    return Way(1, 1, 1, precision)


def ways_of(processes: Sequence[int], precisions: Sequence[str]) -> list[Way]:
    """Return every way for these numbers of processes and precisions, without recomputation first."""
    plain = [
        Way(some, stage, accumulation, precision)
        for precision in precisions
        for some in processes
        for stage in STAGES[precision]
        for accumulation in ACCUMULATIONS
    ]
    recomputed = [
        Way(some, stage, 1, precision, recomputation)
        for precision in precisions
        for some in processes
        for stage in STAGES[precision]
        for recomputation in RECOMPUTATIONS
    ]
    return plain + recomputed


def plan_of(way: Way) -> Plan:
    """Return the plan of the training carried out this way."""
    return tiny_plan(
        layout={
            "processes_per_node": way.processes,
            "micro_batch_sequences": GLOBAL_BATCH_SEQUENCES // (way.processes * way.accumulation),
            "gradient_accumulation_steps": way.accumulation,
            "zero_stage": way.zero_stage,
            "precision": way.precision,
            "activation_checkpointing": way.recomputation,
        },
        schedule={"steps": STEPS, "checkpoint_every_steps": STEPS},
    )


def losses_of(ways: Iterable[Way], folder: Path) -> dict[Way, list[float]]:
    """Train each way, those of as many processes in one group of them, and return the loss of every step."""
    tokens = write_tokens(folder / "tokens", train_tokens=20_000)
    by_processes: dict[int, list[Way]] = {}
    for way in ways:
        run_dir = folder / way.name
        (run_dir / "logs").mkdir(parents=True)
        (run_dir / "out").mkdir()
        (run_dir / "plan.json").write_text(plan_to_json(plan_of(way)), encoding="utf-8")
        by_processes.setdefault(way.processes, []).append(way)
    for processes, some in by_processes.items():
        _train_together(processes, tokens, [folder / way.name for way in some], folder)
    return {way: _losses(folder / way.name) for some in by_processes.values() for way in some}


def difference(losses: list[float], others: list[float]) -> float:
    """Return the largest difference of a step's loss."""
    return max(abs(one - other) for one, other in zip(losses, others, strict=True))


def _train_together(processes: int, tokens: Path, run_dirs: list[Path], folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "DS_ACCELERATOR": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_WAIT_POLICY": "PASSIVE",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
    }
    command = [sys.executable, "-m", "benchmarks.equality", "--tokens", str(tokens), "--run-dirs"]
    command += [str(run_dir) for run_dir in run_dirs]
    workers = []
    with (folder / f"{processes}.log").open("wb") as log:
        for rank in range(processes):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            workers.append(subprocess.Popen(command, env=environment | place, stdout=log, stderr=log))
        statuses = [worker.wait() for worker in workers]
    if any(statuses):
        raise RuntimeError((folder / f"{processes}.log").read_text(encoding="utf-8", errors="replace"))


def _work(tokens: Path, run_dirs: list[Path]) -> None:
    """Train each plan, as one of the group's workers."""
    from forge.engine.distributed import join
    from forge.engine.heartbeat import Heartbeat
    from forge.engine.stopping import StopRequest
    from forge.engine.worker import Surroundings, work

    plans = [load_plan(run_dir / "plan.json") for run_dir in run_dirs]
    place = join(plans[0].layout)
    for run_dir, plan in zip(run_dirs, plans, strict=True):
        beats = Heartbeat(run_dir / "logs", place.rank)
        around = Surroundings(run_dir, run_dir / "out", lambda: 0.0, StopRequest(run_dir), beats)
        work(plan, tokens, around, place)
    sys.stdout.flush()
    os._exit(0)  # leaving the group in order makes gloo abort now and then


def _losses(run_dir: Path) -> list[float]:
    events, _ = read_events(run_dir / "events.jsonl")
    return [event["loss"] for event in events if event["event"] == "step"]


def tables(losses: dict[Way, list[float]]) -> str:
    """Return the differences as Markdown."""
    lines = []
    for precision in dict.fromkeys(way.precision for way in losses):
        mine = {way: some for way, some in losses.items() if way.precision == precision}
        base = mine[reference(precision)]
        columns = STAGES[precision]
        heads = " | ".join(f"ZeRO {stage}" for stage in columns)
        lines += [f"{precision}, bound {BOUND[precision]:g}", ""]
        lines += [
            f"| processes | accumulated | recomputed | {heads} |",
            "|---|---|---|" + "---|" * len(columns),
        ]
        rows = dict.fromkeys((way.processes, way.accumulation, way.recomputation) for way in mine)
        for processes, accumulation, recomputation in rows:
            cells = [
                f"{difference(base, mine[Way(processes, stage, accumulation, precision, recomputation)]):.1e}"
                for stage in columns
            ]
            lines.append(f"| {processes} | {accumulation} | {recomputation} | {' | '.join(cells)} |")
        lines.append("")
    changed = max(recomputation_difference(losses), default=0.0)
    lines.append(f"Largest difference that recomputing makes: {changed:g}")
    return "\n".join(lines)


def summary(losses: dict[Way, list[float]]) -> str:
    """Return one Markdown table: the largest difference of each number of processes at each ZeRO stage."""
    stages = sorted({stage for some in STAGES.values() for stage in some})
    lines = [
        "| precision | processes | " + " | ".join(f"ZeRO {stage}" for stage in stages) + " | bound |",
        "|---|---|" + "---|" * (len(stages) + 1),
    ]
    for precision, processes in sorted(
        {(way.precision, way.processes) for way in losses},
        key=lambda row: (list(BOUND).index(row[0]), row[1]),
    ):
        cells = []
        for stage in stages:
            found = [
                difference(some, losses[reference(precision)])
                for way, some in losses.items()
                if (way.precision, way.processes, way.zero_stage) == (precision, processes, stage)
            ]
            cells.append(f"{max(found):.1e}" if found else "not planned")
        lines.append(f"| {precision} | {processes} | {' | '.join(cells)} | {BOUND[precision]:g} |")
    return "\n".join(lines)


def recomputation_difference(losses: dict[Way, list[float]]) -> list[float]:
    """Return how far each way with recomputation is from the same one without."""
    return [
        difference(some, losses[Way(way.processes, way.zero_stage, way.accumulation, way.precision)])
        for way, some in losses.items()
        if way.recomputation != "none"
    ]


def within_bounds(losses: dict[Way, list[float]]) -> bool:
    """Return whether every way is as near to the reference as is promised."""
    near = all(
        difference(some, losses[reference(way.precision)]) <= BOUND[way.precision]
        for way, some in losses.items()
    )
    return near and not any(recomputation_difference(losses))


def main() -> int:
    """Print the summary and the tables; exit status 1 where a difference is out of bounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], choices=(1, 2, 4))
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"], choices=("fp32", "bf16"))
    parser.add_argument("--tokens", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run-dirs", type=Path, nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run_dirs:
        _work(given.tokens, given.run_dirs)
    ways = ways_of(sorted({1, *given.processes}), given.precision)
    with tempfile.TemporaryDirectory() as folder:
        losses = losses_of(ways, Path(folder))
    print(summary(losses), tables(losses), sep="\n\n")
    print(json.dumps({"ways": len(losses), "steps_each": STEPS, "within_bounds": within_bounds(losses)}))
    return 0 if within_bounds(losses) else 1


if __name__ == "__main__":
    sys.exit(main())
