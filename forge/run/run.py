"""Carry out a plan: stage after stage, each output an artifact that is made once, each step of it an event."""

from __future__ import annotations

import errno
import os
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.engine.events import append_event
from forge.engine.hosts import Cluster
from forge.errors import Interrupted, StageError, UserError
from forge.export.llama_server import require_llama_cpp
from forge.files import replace_text
from forge.locks import Busy, take_lock
from forge.plan.types import Plan, StagePlan, plan_to_json
from forge.progress import Progress
from forge.run.artifacts import (
    Artifact,
    artifact_folder,
    find_artifact,
    link_artifact,
    make_artifact,
    remove_dead,
)
from forge.run.display import Display, StageDisplay
from forge.run.gates import lines_of_gates
from forge.run.headlines import headline
from forge.run.interrupts import interrupting_signal
from forge.run.quantities import duration
from forge.run.stages import WORK, Workplace
from forge.run.summary import summarize_run, write_summary
from forge.run.tracking.beside import Beside

PROGRESS_EVENT_EVERY_S = 10.0
RUN_LOCK = "run.lock"
LOOK_S = 0.3
"""Longer than anyone who only looks whether the run goes on has its lock."""


class RunBusy(StageError):
    """Another process carries out the same run."""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run whose stages are all done."""

    folder: Path
    artifacts: dict[str, Artifact]
    made: tuple[str, ...]
    """Stages that this call carried out; the others were done before."""
    wall_clock_s: float
    summary: dict[str, Any]


def run_folder(plan: Plan, output_dir: Path) -> Path:
    """Return where the run of `plan` keeps its plan, events, checkpoints, logs and links to artifacts."""
    return output_dir / "runs" / f"{plan.name}-{plan.id}"


def run_plan(
    plan: Plan,
    output_dir: Path,
    display: Display,
    source_hashes: Path | None = None,
    accepted_drift: tuple[str, ...] = (),
    cluster: Cluster | None = None,
) -> FinishedRun:
    """Carry out `plan`, going on where an earlier call stopped.

    Args:
        plan: what to do.
        output_dir: where runs/ and artifacts/ are.
        display: shows the work.
        source_hashes: cache of the hashes of the user's files; None does without.
        accepted_drift: what differed from the reviewed plan and was accepted; it is recorded.
        cluster: the machines of a run over several.

    Raises:
        StageError: a stage failed; the line names it, its log and how to go on.
        Interrupted: Ctrl-C or SIGTERM came; the same command goes on.
    """
    began_s = time.monotonic()
    run_dir = run_folder(plan, output_dir)
    try:
        (run_dir / "logs").mkdir(parents=True, exist_ok=True)
        lock = take_lock(run_dir / RUN_LOCK, patience_s=LOOK_S)
    except Busy:
        raise RunBusy(f"{run_dir}: is being carried out by another forge-run: wait for it") from None
    except OSError as error:
        raise StageError(disk_line("run", error, output_dir)) from None
    beside = Beside(run_dir, display.line)
    try:
        with lock:
            place = Workplace(plan, run_dir, source_hashes, cluster)
            try:
                if not place.plan_path.is_file():
                    replace_text(place.plan_path, plan_to_json(plan))
                if accepted_drift:
                    append_event(run_dir / "events.jsonl", "drift_accepted", lines=list(accepted_drift))
                for folder in remove_dead(output_dir / "artifacts", plan.stages):
                    append_event(run_dir / "events.jsonl", "leftover_removed", folder=folder.name)
                display.detail(f"run folder {run_dir}: plan.json, events.jsonl, logs/")
                beside.start()
                artifacts, made = _stages(place, output_dir / "artifacts", display)
                summary = summarize_run(plan, artifacts)
                write_summary(run_dir, summary)
            except OSError as error:
                raise StageError(disk_line("run", error, output_dir)) from None
    finally:
        beside.end()
    return FinishedRun(run_dir, artifacts, made, time.monotonic() - began_s, summary)


def _stages(place: Workplace, root: Path, display: Display) -> tuple[dict[str, Artifact], tuple[str, ...]]:
    artifacts: dict[str, Artifact] = {}
    made = []
    # What would fail at the end of a long training fails before it.
    if find_artifact(root, place.plan.stage("tokenizer")) is None:
        from forge.data.tokenizer import check_given

        check_given(place.plan.stage("tokenizer").parameters["path"])
    if find_artifact(root, place.plan.stage("evaluate")) is None:
        from forge.evaluate.preflight import check_evaluation

        check_evaluation(place.plan.stage("evaluate").parameters)
    if find_artifact(root, place.plan.stage("export")) is None:
        require_llama_cpp(place.plan.stage("export").parameters.get("formats", ()))
        # Heavy, and a run that is done needs none of it.
        from forge.export.expressible import refuse_given_tokenizer

        refuse_given_tokenizer(place.plan)
    for stage in place.plan.stages:
        artifact = find_artifact(root, stage)
        if artifact is None:
            artifact = _carry_out(place, stage, root, display)
            made.append(stage.name)
        else:
            display.detail(f"{stage.name}: done before, {artifact.folder}: key {stage.key}")
        artifacts[stage.name] = artifact
        place.artifacts[stage.name] = artifact.folder
        link_artifact(artifact, place.run_dir)
        if stage.name == "evaluate":
            _check_gates(place, artifact)
    return artifacts, tuple(made)


def _check_gates(place: Workplace, evaluation: Artifact) -> None:
    """Raise StageError where the evaluation breaks a gate of the plan: nothing is exported then."""
    if lines := lines_of_gates(place.plan, evaluation.summary):
        append_event(place.run_dir / "events.jsonl", "stage_failed", stage="export", error="; ".join(lines))
        raise StageError(*lines)


def _carry_out(place: Workplace, stage: StagePlan, root: Path, display: Display) -> Artifact:
    events = place.run_dir / "events.jsonl"
    append_event(events, "stage_start", stage=stage.name, key=stage.key)
    shown = display.stage(stage.name)
    progress = _Recorder(shown, stage.name, events)
    made_of = ", ".join(place.artifacts[name].name for name in stage.inputs) or "the user's files"
    progress.detail(f"makes {artifact_folder(root, stage)} of {made_of}: key {stage.key}")
    work = WORK[stage.name]
    try:
        artifact = make_artifact(
            root,
            stage,
            lambda out: work(place, out, progress),
            on_wait=lambda: shown.note("another run is making the same; waiting for it"),
        )
    except Interrupted:
        append_event(events, "stage_interrupted", stage=stage.name)
        raise
    except KeyboardInterrupt as interrupt:
        append_event(events, "stage_interrupted", stage=stage.name)
        raise Interrupted(
            interrupting_signal(interrupt),
            f"{stage.name}: stopped; what was done before it is kept: the same command goes on",
        ) from None
    except Exception as error:
        failure = _failure(error, stage, place.run_dir, root.parent)
        append_event(events, "stage_failed", stage=stage.name, error=repr(failure).splitlines()[0])
        if failure is error:
            raise
        raise failure from None
    finally:
        shown.close()
    append_event(events, "stage_end", stage=stage.name, key=stage.key, wall_clock_s=artifact.wall_clock_s)
    display.line(f"{stage.name:<9} {duration(artifact.wall_clock_s):>12}  {headline(artifact)}")
    return artifact


def _failure(error: Exception, stage: StagePlan, run_dir: Path, output_dir: Path) -> Exception:
    """Return the error to raise: a user's mistake in its own words, a full disk as one, anything else as it is."""
    if isinstance(error, UserError):
        return error
    log = run_dir / "logs" / f"{stage.name}.log"
    with log.open("a", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return StageError(disk_line(stage.name, error, output_dir))
    if isinstance(error, MemoryError):
        return StageError(f"{stage.name}: this machine's memory is not enough: see {log}; use less data")
    error.add_note(f"{stage.name}: a fault in forge; it is also in {log}")
    return error


DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What a disk refuses with."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FAULTY = {errno.EIO}


def disk_line(what: str, error: OSError, output_dir: Path) -> str:
    """Return the line for a disk that refuses; a write that fails often does not say to which file."""
    if error.errno in _FULL:
        remedy = "free some space; the same command goes on"
    elif error.errno in _FAULTY:
        remedy = "look after that disk; the same command goes on"
    else:
        remedy = "set output_dir to a folder you may write to"
    # pyarrow puts words of its own around the system's.
    reason = os.strerror(error.errno) if error.errno else error.strerror or type(error).__name__
    return f"{what}: {error.filename or output_dir.absolute()}: cannot be written ({reason}): {remedy}"


class _Recorder:
    """Passes progress on to the display, and now and then into events.jsonl."""

    def __init__(self, shown: StageDisplay, stage: str, events: Path) -> None:
        self._shown: Progress = shown
        self._stage = stage
        self._events = events
        self._recorded_s = time.monotonic()
        self._total = self._done = 0.0
        self._unit = ""

    def start(self, total: float, unit: str) -> None:
        self._total, self._unit, self._done = total, unit, 0.0
        self._shown.start(total, unit)

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        self._shown.advance(amount)
        now_s = time.monotonic()
        if now_s - self._recorded_s >= PROGRESS_EVENT_EVERY_S:
            self._recorded_s = now_s
            append_event(
                self._events,
                "stage_progress",
                stage=self._stage,
                done=self._done,
                total=self._total,
                unit=self._unit,
            )

    def resume(self, amount: float) -> None:
        self._done += amount
        self._shown.resume(amount)

    def status(self, text: str) -> None:
        self._shown.status(text)

    def note(self, line: str) -> None:
        append_event(self._events, "stage_note", stage=self._stage, line=line)
        self._shown.note(line)

    def detail(self, line: str) -> None:
        self._shown.detail(line)
