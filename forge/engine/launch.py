"""The parent's side of training: start the workers, watch them, start them again, stop them, say how it ended."""

from __future__ import annotations

import json
import shlex
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
from forge.engine.reference_parts import sequences_done
from forge.engine.stopping import STOP_FILE
from forge.errors import Interrupted, MachineError, StageError
from forge.progress import Progress

_WATCH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is put up with before a training is given up."""

    restarts: int = 3
    """Failures in a row without a new checkpoint."""
    patience: Patience = field(default_factory=Patience)


RESULTS = {"train": "training.json", "reference": "reference.json"}
"""What a stage writes last."""

UNITS = {"train": "steps", "reference": "sequences"}


def run_training(job: Job, progress: Progress, limits: Limits | None = None) -> dict[str, Any]:
    """Train, or read the reference, going on where it was left; return what the last file that it writes holds.

    Workers that fail or hang are started again: a training from the newest checkpoint in the run folder. A
    KeyboardInterrupt asks the workers to write a checkpoint and end; a second one kills them.

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
    follower = Follower(plan, run_dir / "events.jsonl", progress, UNITS[job.stage])
    limits = limits or Limits()
    failures_in_a_row = 0
    result = job.out / RESULTS[job.stage]
    while True:
        saved_before = _saved(job)
        failure = _attempt(job, follower, limits.patience)
        if failure is None and result.exists():
            summary: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return summary
        if follower.ending == "stopped":  # whatever became of the launcher after it
            raise _interrupted(signal.SIGTERM, job, _kept(job))
        if failure is None and follower.ending == "going back":
            continue
        failure = failure or first_failure(run_dir / "logs")
        failures_in_a_row = 1 if _saved(job) > saved_before else failures_in_a_row + 1
        # What goes wrong before the first step goes wrong again, unless something outside did it.
        hopeless = failure.kind == "refused" or (failure.kind == "error" and not follower.started)
        if hopeless or failures_in_a_row > limits.restarts:
            raise _failed(failure, job)
        line = f"{_named(failure, job)}: starting again from {_place(job)} ({failures_in_a_row} of {limits.restarts})"
        append_event(
            run_dir / "events.jsonl", "restart", reason=_named(failure, job), number=failures_in_a_row
        )
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
        follower.progress.detail(f"starts {shlex.join(processes.launch_command(job))}")
        follower.progress.detail(f"logs of launcher and workers: {logs}")
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
    run_dir = job.run_dir
    saved = "nothing to save"
    if workers is not None:
        (run_dir / STOP_FILE).touch()
        try:
            follower.progress.note(_STOPPING[job.stage])
            while not processes.ended(workers):
                follower.look()
            if workers.returncode != 0:
                raise _failed(first_failure(run_dir / "logs"), job)
            saved = _kept(job)
        except KeyboardInterrupt:
            processes.kill(workers)
            saved = f"at once, later {UNITS[job.stage]} are lost"
    # The command line turns SIGTERM into a subclass of KeyboardInterrupt; Ctrl-C is the class itself.
    number = signal.SIGINT if type(interrupt) is KeyboardInterrupt else signal.SIGTERM
    return _interrupted(number, job, saved)


_STOPPING = {
    "train": "train: stopping after this step, with a checkpoint; interrupt again to stop at once",
    "reference": "reference: stopping after these sequences; interrupt again to stop at once",
}


def _kept(job: Job) -> str:
    return "checkpoint written" if job.stage == "train" else "what was done is kept"


def _interrupted(number: int, job: Job, saved: str) -> Interrupted:
    of = f" of {job.plan.schedule.steps}" if job.stage == "train" else ""
    return Interrupted(
        number, f"{job.stage}: stopped at {_place(job)}{of}, {saved}: the same command goes on"
    )


def _failed(failure: Failure, job: Job) -> StageError:
    line = f"{_named(failure, job)}: see {failure.log}; the same command goes on from {_place(job)}"
    # What is finished of a reference lies in the artifact, which is kept where the machine gave out.
    return MachineError(line) if failure.kind == "killed" else StageError(line)


def _named(failure: Failure, job: Job) -> str:
    """Return the line of a failure, under the name of the stage: workers speak of the one that they are there for."""
    said = failure.line.removeprefix("train: ")
    return failure.line if said == failure.line else f"{job.stage}: {said}"


def _place(job: Job) -> str:
    return f"{UNITS[job.stage][:-1]} {_saved(job)}"


def _saved(job: Job) -> int:
    """Return how far the stage would go on from: the step of the newest checkpoint, or the sequences done."""
    if job.stage == "reference":
        return sequences_done(job.out)
    return next(iter(checkpoint_steps(checkpoint_folder(job.run_dir))), 0)
