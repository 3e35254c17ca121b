"""Kill a training at random moments, again and again, and compare what comes of it with one that nobody disturbed.

    python -m benchmarks.chaos [--kills 200] [--minutes 60] [--processes 2] [--zero-stage 2] [--precision bf16]
                               [--seed 0]

A tiny model trains on this machine's CPU under the real launcher. Killed with -9 is one worker, the launcher, the
parent (a stand-in for forge-run) or all at once; now and then the parent is asked to stop by SIGTERM instead. Moments
are random: some while starting, some at any time after, the others once a checkpoint has begun to be written. The
parent starts workers again by itself; where it is gone, the same command is given again. When a training has come to
its end, a new one begins until there were enough kills, or the time is over: the last training is then left to end.

Printed, and so far after each training on stderr, each 0 when all is well:
    lost       steps without a logged loss
    repeated   steps done again although a later checkpoint had been announced
    different  logged and held-out losses, checkpoints left, and final weights, that are not bit for bit those of the
               undisturbed training
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge.engine.checkpoint_folder import checkpoint_steps
from forge.engine.events import read_events
from forge.engine.heartbeat import read_beats
from forge.plan.types import Plan, plan_to_json
from tests.factories import tiny_plan, write_tokens

PARENT = """
import signal, sys
from pathlib import Path
from typing import Any
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.errors import UserError
from forge.plan.types import load_plan
from forge.progress import SilentProgress

class Terminated(KeyboardInterrupt):
    pass

def terminate(number, frame):
    raise Terminated

signal.signal(signal.SIGTERM, terminate)
tokens, run_dir = Path(sys.argv[1]), Path(sys.argv[2])
try:
    plan = load_plan(run_dir / "plan.json")
    run_training(Job(plan, run_dir / "plan.json", tokens, run_dir, run_dir.parent / "out"), SilentProgress())
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""

VICTIMS = ("worker", "worker", "worker", "launcher", "parent", "all", "stop")
STEPS, CHECKPOINT_EVERY_STEPS, EVALUATE_EVERY_STEPS, KEEP_EVERY_STEPS = 120, 4, 10, 50
MOMENTS = {"starting": 0.15, "any": 0.35, "saving": 0.5}
"""How often a kill comes at each kind of moment."""

LONGEST_START_S = 4.0
LONGEST_LIFE_S = 2.0
"""A kill comes at most as long after workers have begun with their first step, or waits for a checkpoint then."""

LONGEST_SAVE_S = 0.04
"""And at most as long after a checkpoint has begun to be written; writing one takes about as long."""


@dataclass
class Tally:
    """What came of the kills."""

    kills: Counter[str] = field(default_factory=Counter)
    while_saving: int = 0
    while_starting: int = 0
    trainings: int = 0
    given_up: int = 0
    """Times the parent had enough of restarts without progress; the same command was given again."""
    steps: int = 0
    lost: int = 0
    repeated: int = 0
    different: int = 0

    @property
    def harmless(self) -> bool:
        """Whether nothing was lost, repeated or different."""
        return self.lost == self.repeated == self.different == 0

    def lines(self, elapsed_s: float) -> str:
        """Return the counts in words."""
        victims = ", ".join(f"{n} {who}" for who, n in sorted(self.kills.items()))
        return (
            f"{sum(self.kills.values())} kills ({victims}), {self.while_saving} of them while saving, "
            f"{self.while_starting} while starting; {self.trainings} trainings of {STEPS} steps, "
            f"{self.given_up} times given up and started again; {elapsed_s:.0f} s\n"
            f"lost {self.lost}, repeated {self.repeated}, different {self.different}"
        )


def chaos(plan: Plan, kills: int, seed: int, folder: Path, minutes: float = math.inf) -> Tally:
    """Kill trainings of `plan` until there were `kills` kills, or for `minutes`; compare with an undisturbed one."""
    tokens = write_tokens(folder / "tokens")
    quiet = _new_run(folder / "quiet", plan)
    subprocess.run(_command(tokens, quiet), check=True)
    source = random.Random(seed)
    tally = Tally()
    began_s = time.monotonic()
    until_s = began_s + minutes * 60
    while sum(tally.kills.values()) < kills and time.monotonic() < until_s:
        rough = _new_run(folder / f"rough{tally.trainings}", plan)
        _train_and_kill(plan, tokens, rough, kills, until_s, source, tally)
        _compare(plan, quiet, rough, tally)
        tally.trainings += 1
        print(tally.lines(time.monotonic() - began_s), file=sys.stderr, flush=True)
        shutil.rmtree(rough.parent)
    return tally


def _train_and_kill(
    plan: Plan,
    tokens: Path,
    run_dir: Path,
    kills: int,
    until_s: float,
    source: random.Random,
    tally: Tally,
) -> None:
    with (run_dir / "parent.log").open("ab") as log:
        parent = subprocess.Popen(_command(tokens, run_dir), stderr=log)
        try:
            while True:
                enough = sum(tally.kills.values()) >= kills or time.monotonic() >= until_s
                if enough or not _kill(parent, plan, run_dir, source, tally):
                    status = parent.wait()
                    if status == 0:
                        return
                    tally.given_up += status == 4
                if parent.poll() is not None:
                    parent = subprocess.Popen(_command(tokens, run_dir), stderr=log)
        finally:
            if parent.poll() is None:
                parent.kill()
                parent.wait()


def _kill(
    parent: subprocess.Popen[bytes], plan: Plan, run_dir: Path, source: random.Random, tally: Tally
) -> bool:
    """Kill at a random moment; False when the parent ends before."""
    (moment,) = source.choices(list(MOMENTS), list(MOMENTS.values()))
    started = len(_events(run_dir, "train_start"))
    while moment != "starting" and parent.poll() is None and len(_events(run_dir, "train_start")) == started:
        time.sleep(0.02)
    _sleep_beside(parent, source.uniform(0.0, LONGEST_START_S if moment == "starting" else LONGEST_LIFE_S))
    victim = source.choice(VICTIMS)
    victims = _victims(victim, parent, run_dir, source)
    while moment == "saving" and parent.poll() is None and not _saving(run_dir):
        time.sleep(0.001)
    if moment == "saving":
        time.sleep(source.uniform(0.0, LONGEST_SAVE_S))
    if parent.poll() is not None:
        return False
    if not victims:
        return True
    tally.while_saving += _saving(run_dir)
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM if victim == "stop" else signal.SIGKILL)
    tally.kills[victim] += 1
    beats = read_beats(run_dir / "logs")
    tally.while_starting += len(beats) < plan.layout.world_size or any(
        b["doing"] == "start" for b in beats.values()
    )
    if victim in ("parent", "all", "stop"):
        parent.wait()
    while victim in ("parent", "all") and _processes(run_dir):
        time.sleep(0.02)  # they die with their parent
    return True


def _victims(victim: str, parent: subprocess.Popen[bytes], run_dir: Path, source: random.Random) -> list[int]:
    """Return the processes to kill."""
    launcher = [pid for pid in _processes(run_dir) if _parent_of(pid) == parent.pid]
    workers = [pid for pid in _processes(run_dir) if _parent_of(pid) in launcher]
    return {
        "worker": source.sample(workers, 1) if workers else [],
        "launcher": launcher,
        "parent": [parent.pid],
        "all": [parent.pid, *launcher, *workers],
        "stop": [parent.pid],
    }[victim]


def _sleep_beside(parent: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        parent.wait(seconds)


def _saving(run_dir: Path) -> bool:
    return any((run_dir / "checkpoints").glob(".tmp-*"))


def _compare(plan: Plan, quiet: Path, rough: Path, tally: Tally) -> None:
    expected = {event["step"]: event["loss"] for event in _events(quiet, "step")}
    held_out = {event["step"]: event["held_out_loss"] for event in _events(quiet, "evaluation")}
    seen: set[int] = set()
    announced = 0
    for event in _all_events(rough):
        if event["event"] == "checkpoint":
            announced = max(announced, event["step"])
        if event["event"] == "train_start":
            tally.repeated += max(0, announced - event["step"])
        if event["event"] == "step":
            seen.add(event["step"])
            tally.different += event["loss"] != expected[event["step"]]
        if event["event"] == "evaluation":
            tally.different += event["held_out_loss"] != held_out[event["step"]]
    tally.steps += plan.schedule.steps
    tally.lost += len(set(expected) - seen)
    tally.different += _weights_sha256(quiet) != _weights_sha256(rough)
    # Which stay follows from the steps alone, but that a stop's own may push out the last but one.
    stay = set(checkpoint_steps(quiet / "checkpoints")) - {STEPS - CHECKPOINT_EVERY_STEPS}
    tally.different += not stay <= set(checkpoint_steps(rough / "checkpoints"))


def _weights_sha256(run_dir: Path) -> str:
    return hashlib.sha256((run_dir.parent / "out" / "model.safetensors").read_bytes()).hexdigest()


def _new_run(folder: Path, plan: Plan) -> Path:
    run_dir = folder / "run"
    run_dir.mkdir(parents=True)
    (folder / "out").mkdir()
    (run_dir / "plan.json").write_text(plan_to_json(plan))
    return run_dir


def _command(tokens: Path, run_dir: Path) -> list[str]:
    return [sys.executable, "-c", PARENT, str(tokens), str(run_dir)]


def _all_events(run_dir: Path) -> list[dict[str, Any]]:
    return read_events(run_dir / "events.jsonl")[0]


def _events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in _all_events(run_dir) if event["event"] == kind]


def _processes(run_dir: Path) -> list[int]:
    """Return the ids of the living launcher and workers of a run."""
    return [
        pid for pid, command in _commands() if str(run_dir).encode() in command and b"--run-dir" in command
    ]


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "cmdline").read_bytes().split(b"\0")


def _parent_of(pid: int) -> int:
    try:
        # The name in parentheses may hold spaces; the parent's id is the second field after it.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def chaos_plan(processes: int, zero_stage: int, precision: str) -> Plan:
    """Return the tiny training that is killed."""
    return tiny_plan(
        layout={
            "processes_per_node": processes,
            "micro_batch_sequences": 4 // processes,
            "zero_stage": zero_stage,
            "precision": precision,
        },
        schedule={
            "steps": STEPS,
            "checkpoint_every_steps": CHECKPOINT_EVERY_STEPS,
            "keep_every_steps": KEEP_EVERY_STEPS,
            "evaluate_every_steps": EVALUATE_EVERY_STEPS,
        },
    )


def main() -> int:
    """Kill, and print the counts; exit status 1 when anything was lost, repeated or different."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--processes", type=int, default=2, choices=(1, 2, 4))
    parser.add_argument("--zero-stage", type=int, default=2, choices=(0, 1, 2, 3))
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    plan = chaos_plan(given.processes, given.zero_stage, given.precision)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        tally = chaos(plan, given.kills, given.seed, Path(scratch), given.minutes)
    print(tally.lines(time.monotonic() - began_s))
    return 0 if tally.harmless else 1


if __name__ == "__main__":
    sys.exit(main())
