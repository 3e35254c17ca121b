"""The parent's side of training: start the workers, watch them, start them again, stop them, say how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge.engine import processes
from forge.engine.checkpoint_folder import checkpoint_folder, checkpoint_steps
from forge.engine.events import append_event
from forge.engine.failures import Failure, clear_failures, first_failure, rank_log
from forge.engine.follower import Follower
from forge.engine.heartbeat import Patience, clear_beats, read_beats, silence
from forge.engine.stopping import STOP_FILE
from forge.errors import Interrupted, StageError
from forge.plan.types import Plan
from forge.progress import Progress

_WATCH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is put up with before a training is given up."""

    restarts: int = 3
    """Failures in a row without a new checkpoint."""
    patience: Patience = field(default_factory=Patience)


def run_training(
    plan: Plan,
    plan_path: Path,
    tokens: Path,
    run_dir: Path,
    out: Path,
    progress: Progress,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Train `plan` on `tokens`, going on from the newest checkpoint in `run_dir`; return what training.json holds.

    Workers that fail or hang are started again from the newest checkpoint. A KeyboardInterrupt asks the workers to
    write a checkpoint and end; a second one kills them.

    Raises:
        StageError: the workers can't train this, or failed too often; the line says which one, why, where its log is
            and how to go on.
        Interrupted: a KeyboardInterrupt came, or the workers were told to stop; the same command goes on.
    """
    if plan.layout.nodes != 1:
        raise StageError(
            f"train: the plan is for {plan.layout.nodes} nodes: training runs on one node at present"
        )
    processes.check_loopback()
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    follower = Follower(plan, run_dir / "events.jsonl", progress)
    limits = limits or Limits()
    failures_in_a_row = 0
    while True:
        saved_before = _saved_step(run_dir)
        failure = _attempt(plan, plan_path, tokens, run_dir, out, follower, limits.patience)
        if failure is None and (out / "training.json").exists():
            summary: dict[str, Any] = json.loads((out / "training.json").read_text(encoding="utf-8"))
            return summary
        if follower.ending == "stopped":  # whatever became of the launcher after it
            raise _interrupted(signal.SIGTERM, run_dir, plan, "checkpoint written")
        if failure is None and follower.ending == "going back":
            continue
        failure = failure or first_failure(run_dir / "logs")
        failures_in_a_row = 1 if _saved_step(run_dir) > saved_before else failures_in_a_row + 1
        # What goes wrong before the first step goes wrong again, unless something outside did it.
        hopeless = failure.kind == "refused" or (failure.kind == "error" and not follower.started)
        if hopeless or failures_in_a_row > limits.restarts:
            raise _failed(failure, run_dir)
        line = (
            f"{failure.line}: starting again from step {_saved_step(run_dir)} "
            f"({failures_in_a_row} of {limits.restarts})"
        )
        append_event(run_dir / "events.jsonl", "restart", reason=failure.line, number=failures_in_a_row)
        progress.note(line)


def _attempt(
    plan: Plan,
    plan_path: Path,
    tokens: Path,
    run_dir: Path,
    out: Path,
    follower: Follower,
    patience: Patience,
) -> Failure | None:
    """Start the workers and see them to their end; return what went wrong."""
    logs = run_dir / "logs"
    clear_failures(logs)
    clear_beats(logs)
    (run_dir / STOP_FILE).unlink(missing_ok=True)
    follower.expect_start()
    hung: Failure | None = None
    process: subprocess.Popen[bytes] | None = None
    try:
        process = processes.start(plan, plan_path, tokens, run_dir, out)
        watched_s = time.monotonic()
        while hung is None and not processes.ended(process):
            follower.look()
            if time.monotonic() - watched_s >= _WATCH_EVERY_S:
                watched_s = time.monotonic()
                hung = _hung(logs, patience)
        if hung is not None:
            processes.dump_stacks(logs)
    except KeyboardInterrupt as interrupt:
        raise _stop(process, run_dir, plan, interrupt, follower) from None
    finally:
        if process is not None and process.poll() is None:
            processes.kill(process)
        (run_dir / STOP_FILE).unlink(missing_ok=True)
    follower.look()
    if hung is not None:
        return hung
    return first_failure(logs) if process.returncode != 0 else None


def _hung(logs: Path, patience: Patience) -> Failure | None:
    found = silence(read_beats(logs), patience, time.monotonic())
    if found is None:
        return None
    rank, silent_s = found
    beat = read_beats(logs)[rank]
    line = (
        f"train: rank {rank} hangs: nothing for {silent_s:.0f} s after step {beat['step']} ({beat['doing']})"
    )
    return Failure(line, rank_log(logs, rank), "killed")


def _stop(
    process: subprocess.Popen[bytes] | None,
    run_dir: Path,
    plan: Plan,
    interrupt: KeyboardInterrupt,
    follower: Follower,
) -> Interrupted:
    """Ask the workers to end with a checkpoint and wait for it, unless a second interrupt comes."""
    saved = "nothing to save"
    if process is not None:
        (run_dir / STOP_FILE).touch()
        try:
            follower.progress.note(
                "train: stopping after this step, with a checkpoint; interrupt again to stop at once"
            )
            while not processes.ended(process):
                follower.look()
            if process.returncode != 0:
                raise _failed(first_failure(run_dir / "logs"), run_dir)
            saved = "checkpoint written"
        except KeyboardInterrupt:
            processes.kill(process)
            saved = "at once, later steps are lost"
    # The command line turns SIGTERM into a subclass of KeyboardInterrupt; Ctrl-C is the class itself.
    number = signal.SIGINT if type(interrupt) is KeyboardInterrupt else signal.SIGTERM
    return _interrupted(number, run_dir, plan, saved)


def _interrupted(number: int, run_dir: Path, plan: Plan, saved: str) -> Interrupted:
    step = _saved_step(run_dir)
    return Interrupted(
        number, f"train: stopped at step {step} of {plan.schedule.steps}, {saved}: the same command goes on"
    )


def _failed(failure: Failure, run_dir: Path) -> StageError:
    return StageError(
        f"{failure.line}: see {failure.log}; the same command goes on from step {_saved_step(run_dir)}"
    )


def _saved_step(run_dir: Path) -> int:
    return next(iter(checkpoint_steps(checkpoint_folder(run_dir))), 0)
