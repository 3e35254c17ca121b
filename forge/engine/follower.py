"""Reads new lines of events.jsonl and drives the progress bar by them."""

from __future__ import annotations

from pathlib import Path

from forge.engine.events import read_events
from forge.plan.types import Plan
from forge.progress import Progress


class Follower:
    """What the parent knows of the workers by their events."""

    def __init__(self, plan: Plan, events: Path, progress: Progress, unit: str = "steps") -> None:
        """Follow a training in `steps`, or the reading of a reference in `sequences`."""
        self.progress = progress
        self.started = False
        """Whether this attempt's workers have come as far as their first step."""
        self.ending: str | None = None
        """How they say they ended: done, stopped or going back."""
        self._events = events
        self._offset_bytes = events.stat().st_size if events.exists() else 0
        self._step = 0
        self._unit = unit
        if unit == "steps":
            progress.start(plan.schedule.steps, unit)

    def expect_start(self) -> None:
        """Forget how the attempt before this one went."""
        self.started, self.ending = False, None

    def look(self) -> None:
        """Take in what was appended since the last look."""
        events, self._offset_bytes = read_events(self._events, self._offset_bytes)
        for event in events:
            kind = event["event"]
            if kind == "reference":
                self._read(event["sequences_done"], event["sequences"])
            if kind == "train_start":
                self.started = True
                if event["resumed_from"] is not None:
                    self.progress.note(f"train: going on from the checkpoint of step {event['resumed_from']}")
            if kind in ("train_start", "step", "step_skipped") and event["step"] > self._step:
                self.progress.advance(event["step"] - self._step)
                self._step = event["step"]
            if kind == "step":
                self.progress.status(f"loss {event['loss']:.3f}, {event['tokens_per_second']:,.0f} tokens/s")
            if kind == "phase":
                self.progress.note(
                    f"train: phase {event['phase']} of {event['phases']} from step {event['step']} on"
                )
            if kind == "evaluation":
                self.progress.status(f"held-out loss {event['held_out_loss']:.3f}")
            if kind == "step_skipped" and not event["decided_before"]:
                self.progress.note(f"train: step {event['step']} is passed over: {event['reason']}")
            if kind == "going_back":
                self.progress.note(
                    f"train: {event['reason']} at step {event['last_step']}: going back, leaving out steps "
                    f"{event['first_step']} to {event['last_step']} ({event['document_count']} documents, named in "
                    "skipped.json)"
                )
            if kind == "note":
                self.progress.note(event["line"])
            if kind in ("train_end", "reference_end"):
                self.ending = event["ending"]

    def _read(self, done: int, total: int) -> None:
        if not self.started and not self._step:
            self.progress.start(total, self._unit)
            self.progress.resume(done)
            self._step = done
        self.started = True
        if done > self._step:
            self.progress.advance(done - self._step)
            self._step = done
