"""The process of a run: started, watched by its events, asked to stop, and what it left when it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from forge.engine.events import read_events
from forge.files import replace_text
from forge.locks import is_held
from forge.plan.types import plan_to_json
from forge.run.origins import record_origins
from forge.run.run import RUN_LOCK
from forge.run.sweep.child import BUSY_STATUS, RESULT, read_result
from forge.run.sweep.point import Outcome, Point
from forge.run.sweep.slots import Held
from forge.run.tracking.beside import record_tracking


@dataclass(slots=True)
class Watch:
    """What a run says while it is at work."""

    events: Path
    stage: str = ""
    step: int = 0
    loss: float | None = None
    held_out: dict[int, float] = field(default_factory=dict)
    """Held-out loss by the step it was measured after, nats a token."""
    _offset_bytes: int = 0

    def look(self) -> None:
        """Take in what was appended since the last look."""
        events, self._offset_bytes = read_events(self.events, self._offset_bytes)
        for event in events:
            if event["event"] == "stage_start":
                self.stage = event["stage"]
            elif event["event"] == "step":
                self.step, self.loss = max(self.step, event["step"]), event["loss"]
            elif event["event"] == "evaluation":
                self.held_out[event["step"]] = event["held_out_loss"]

    def state(self) -> str:
        """Return what it does, in a few words."""
        loss = f", loss {self.loss:.3f}" if self.stage == "train" and self.loss is not None else ""
        return f"{self.stage or 'starting'}{loss}"


def watch_of(point: Point) -> Watch:
    """Return the watch of a run, with what it has said up to now."""
    watch = Watch(point.run_dir / "events.jsonl")
    watch.look()
    return watch


@dataclass(slots=True)
class Child:
    """A run at work in a process of its own."""

    point: Point
    process: subprocess.Popen[bytes]
    watch: Watch
    began_s: float
    ending_early: bool = False
    """Whether it was asked to end because others are better."""

    def stop(self) -> None:
        """Ask it to end with a checkpoint. SIGTERM, for a shell may have it ignore SIGINT."""
        self.process.terminate()

    def kill(self) -> None:
        """End it and what it started now: the workers of a training die with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def outcome(self) -> Outcome | None:
        """Return how it ended; None where another process carries out the run."""
        code = self.process.returncode
        if code == 0:
            return Outcome("done")
        if code == BUSY_STATUS:
            return None
        result = read_result(self.point.run_dir)
        if self.ending_early and (result is None or result["status"] == "stopped"):
            return Outcome("pruned", step=self.watch.step)
        if result is not None:
            return Outcome("stopped" if result["status"] == "stopped" else "failed", tuple(result["lines"]))
        if code < 0:
            memory = " (out of memory?)" if code == -signal.SIGKILL else ""
            return Outcome("failed", (f"its process was killed by signal {-code}{memory}",))
        no_word = f"its process ended with exit status {code} and left no word: look whether the disk is full"
        return Outcome("failed", (_last_line(self.point.log) or no_word,))


def start(point: Point, held: Held, source_hashes: Path | None, now_s: float) -> Child:
    """Start the process of a run in the places it holds.

    Raises:
        OSError: its folder cannot be written.
    """
    try:
        point.log.parent.mkdir(parents=True, exist_ok=True)
        (point.run_dir / RESULT).unlink(missing_ok=True)
        plan_file = point.run_dir / "plan.json"
        if not plan_file.is_file():
            replace_text(plan_file, plan_to_json(point.plan))
        record_origins(point.run_dir, point.origins)
        record_tracking(point.run_dir, point.track)
        with point.log.open("ab") as log:
            process = subprocess.Popen(
                _command(point, source_hashes),
                env=dict(os.environ) | held.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=held.descriptors,
            )
    finally:
        held.close()
    return Child(point, process, watch_of(point), now_s)


def _command(point: Point, source_hashes: Path | None) -> list[str]:
    command = [sys.executable, "-m", "forge.run.sweep.child", "--plan", str(point.run_dir / "plan.json")]
    command += ["--output-dir", str(point.output_dir)]
    if source_hashes is not None:
        command += ["--source-hashes", str(source_hashes)]
    if point.hostfile is not None:
        command += ["--hostfile", point.hostfile, "--remote-shell", point.remote_shell]
    return command


def is_elsewhere(point: Point) -> bool:
    """True where a process that is not of this sweep carries out the run: it holds the run's lock."""
    return is_held(point.run_dir / RUN_LOCK)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
