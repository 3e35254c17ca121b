"""The parent's side of training: start the workers, watch them, start them again, stop them, say how it ended."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge.engine import processes
from forge.engine.checkpoint_folder import checkpoint_folder, checkpoint_steps
from forge.engine.events import append_event
from forge.engine.failures import Failure, clear_failures, first_failure, launcher_log, rank_log
from forge.engine.follower import Follower
from forge.engine.heartbeat import Patience, Watch, clear_beats, read_beats
from forge.engine.hosts import check_cluster
from forge.engine.processes import Job, Workers
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


def run_training(job: Job, progress: Progress, limits: Limits | None = None) -> dict[str, Any]:
    """Train, going on from the newest checkpoint in the run folder; return what training.json holds.

    Workers that fail or hang are started again from the newest checkpoint. A KeyboardInterrupt asks the workers to
    write a checkpoint and end; a second one kills them.

    Raises:
        StageError: the workers can't train this, or failed too often; the line says which one, why, where its log is
            and how to go on.
        Interrupted: a KeyboardInterrupt came, or the workers were told to stop; the same command goes on.
    """
    plan, run_dir = job.plan, job.run_dir
    check_cluster(job.cluster, plan.layout)
    if job.cluster is None:
        processes.check_loopback()
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    follower = Follower(plan, run_dir / "events.jsonl", progress)
    limits = limits or Limits()
    failures_in_a_row = 0
    while True:
        saved_before = _saved_step(run_dir)
        failure = _attempt(job, follower, limits.patience)
        if failure is None and (job.out / "training.json").exists():
            summary: dict[str, Any] = json.loads((job.out / "training.json").read_text(encoding="utf-8"))
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


def _attempt(job: Job, follower: Follower, patience: Patience) -> Failure | None:
    """Start the workers and see them to their end; return what went wrong."""
    run_dir = job.run_dir
    logs = run_dir / "logs"
    clear_failures(logs)
    clear_beats(logs)
    (run_dir / STOP_FILE).unlink(missing_ok=True)
    follower.expect_start()
    hung: Failure | None = None
    workers: Workers | None = None
    watch = Watch(patience)
    try:
        workers = processes.start(job)
        watched_s = time.monotonic()
        while hung is None and not processes.ended(workers):
            follower.look()
            if time.monotonic() - watched_s >= _WATCH_EVERY_S:
                watched_s = time.monotonic()
                hung = _hung(logs, watch)
        if hung is not None:
            processes.dump_stacks(logs, job.plan.layout.processes_per_node)
    except KeyboardInterrupt as interrupt:
        raise _stop(workers, job, interrupt, follower) from None
    finally:
        if workers is not None and workers.returncode is None:
            processes.kill(workers)
        (run_dir / STOP_FILE).unlink(missing_ok=True)
    follower.look()
    if hung is not None:
        return hung
    if workers.returncode == 0:
        return None
    if line := processes.unreachable(job, workers):
        return Failure(line, launcher_log(logs), "killed")
    return first_failure(logs)


def _hung(logs: Path, watch: Watch) -> Failure | None:
    beats = read_beats(logs)
    found = watch.silence(beats, time.monotonic())
    if found is None:
        return None
    rank, silent_s = found
    beat = beats[rank]
    line = (
        f"train: rank {rank} hangs: nothing for {silent_s:.0f} s after step {beat['step']} ({beat['doing']})"
    )
    return Failure(line, rank_log(logs, rank), "killed")


def _stop(workers: Workers | None, job: Job, interrupt: KeyboardInterrupt, follower: Follower) -> Interrupted:
    """Ask the workers to end with a checkpoint and wait for it, unless a second interrupt comes."""
    run_dir, plan = job.run_dir, job.plan
    saved = "nothing to save"
    if workers is not None:
        (run_dir / STOP_FILE).touch()
        try:
            follower.progress.note(
                "train: stopping after this step, with a checkpoint; interrupt again to stop at once"
            )
            while not processes.ended(workers):
                follower.look()
            if workers.returncode != 0:
                raise _failed(first_failure(run_dir / "logs"), run_dir)
            saved = "checkpoint written"
        except KeyboardInterrupt:
            processes.kill(workers)
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
