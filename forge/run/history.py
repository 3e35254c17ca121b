"""What happened in a run, step by step, as its events.jsonl tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge.engine.events import read_events

MEASURES = (
    "loss",
    "smoothed_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "model_flops_utilization",
    "step_time_s",
    "peak_memory_bytes",
    "reward_margin",
    "preference_accuracy",
    "expert_load_max_over_mean",
)
"""Of each logged step; units as in schemas/events.schema.json."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something beside the steps that a reader of the curves wants to know."""

    kind: str
    """restart, resumed, skipped, going back, phase, checkpoint, note."""
    step: int
    """Steps done when it happened, or the step that it is about."""
    time: float
    """Seconds since 1970-01-01, UTC."""
    text: str


@dataclass(frozen=True, slots=True)
class StageTime:
    """How a stage went."""

    name: str
    state: str
    """running, done, failed or stopped; one that is running may have been killed."""
    wall_clock_s: float | None
    """How long its making took; None until it is done."""
    error: str = ""
    """Why it failed."""
    progress: str = ""
    """How far it had come when it last said so."""


@dataclass(slots=True)
class History:
    """The events of a run so far. Of a step that was done again the last line counts."""

    steps: dict[int, dict[str, float | None]] = field(default_factory=dict)
    """By step, in the order of steps: MEASURES, `tokens` read, `time`, and `training_s`, the time spent in training
    since its first launch, time between attempts left out."""
    evaluations: dict[int, dict[str, float | None]] = field(default_factory=dict)
    """By steps done: held_out_loss, and of preferences held_out_reward_margin, held_out_preference_accuracy."""
    happenings: list[Happening] = field(default_factory=list)
    stages: dict[str, StageTime] = field(default_factory=dict)
    """By name, in the order they began in."""
    source_tokens: dict[str, int] | None = None
    """Tokens read of each source, where a curriculum counts them."""
    attempts: int = 0
    """Times that workers came as far as their first step."""
    training_s: float = 0.0
    began: float | None = None
    """Time of the first event, seconds since 1970-01-01, UTC."""
    latest: float | None = None
    """Time of the last event."""

    @property
    def last_step(self) -> int:
        """Steps done, as far as was logged."""
        return max(self.steps, default=0)

    def series(self, measure: str) -> tuple[list[float], list[float]]:
        """Return the steps at which a measure is known, and its values."""
        known = [(step, row[measure]) for step, row in self.steps.items() if row[measure] is not None]
        return [float(step) for step, _ in known], [float(value) for _, value in known if value is not None]

    def evaluated(self, measure: str) -> tuple[list[float], list[float]]:
        """Return the steps after which a figure on held-out text was taken, and its values."""
        known = [
            (step, row[measure]) for step, row in self.evaluations.items() if row.get(measure) is not None
        ]
        return [float(step) for step, _ in known], [float(value) for _, value in known if value is not None]


class HistoryReader:
    """Reads events.jsonl, and again only what was appended since."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "events.jsonl"
        self._offset_bytes = 0
        self._launched_s = self._latest_s = self._before_s = 0.0
        self._history = History()

    def read(self) -> History:
        """Return the history so far: the same object at each call, which grows."""
        events, self._offset_bytes = read_events(self._path, self._offset_bytes)
        for event in events:
            self._take(event)
        if events:
            self._history.steps = dict(sorted(self._history.steps.items()))
            self._history.evaluations = dict(sorted(self._history.evaluations.items()))
        return self._history

    def _take(self, event: Mapping[str, Any]) -> None:
        history, kind = self._history, event["event"]
        history.began = event["time"] if history.began is None else history.began
        history.latest = event["time"]
        if kind in ("train_start", "step", "checkpoint", "train_end"):
            self._count_time(event)
        if kind == "step":
            history.steps[event["step"]] = {
                **{name: event.get(name) for name in MEASURES},
                "tokens": event["tokens"],
                "time": event["time"],
                "training_s": history.training_s,
            }
            history.source_tokens = event.get("source_tokens") or history.source_tokens
        elif kind == "evaluation":
            names = ("held_out_loss", "held_out_reward_margin", "held_out_preference_accuracy")
            history.evaluations[event["step"]] = {name: event.get(name) for name in names}
        elif kind == "train_start":
            self._start(event)
        elif kind.startswith("stage_"):
            self._stage(event)
        elif (line := _line(event)) is not None:
            if kind == "step_skipped":
                history.steps.pop(event["step"], None)
            of = next((event[name] for name in ("last_step", "step") if name in event), None)
            step = history.last_step if of is None else of
            history.happenings.append(
                Happening(kind.removeprefix("step_").replace("_", " "), step, event["time"], line)
            )

    def _count_time(self, event: Mapping[str, Any]) -> None:
        """Add up the attempts, from each launch to its last event, as the summary of the training does."""
        if event["event"] == "train_start":
            self._before_s += self._latest_s - self._launched_s
            self._launched_s = event["time"] - event["start_up_s"]
        self._latest_s = event["time"]
        self._history.training_s = self._before_s + self._latest_s - self._launched_s

    def _start(self, event: Mapping[str, Any]) -> None:
        history = self._history
        history.attempts += 1
        for taken in (history.steps, history.evaluations):
            # What came after the checkpoint is done again: it is no part of the model.
            for step in [step for step in taken if step > event["step"]]:
                del taken[step]
        if event["resumed_from"] is not None:
            line = f"training went on from the checkpoint of step {event['resumed_from']:,}"
            history.happenings.append(Happening("resumed", event["step"], event["time"], line))

    def _stage(self, event: Mapping[str, Any]) -> None:
        name, kind = event["stage"], event["event"]
        before = self._history.stages.get(name, StageTime(name, "running", None))
        if kind == "stage_start":
            self._history.stages[name] = StageTime(name, "running", None)
        elif kind == "stage_progress":
            progress = f"{event['done']:,.0f} of {event['total']:,.0f} {event['unit']}"
            self._history.stages[name] = StageTime(name, before.state, before.wall_clock_s, progress=progress)
        elif kind == "stage_end":
            self._history.stages[name] = StageTime(name, "done", event["wall_clock_s"])
        elif kind == "stage_failed":
            self._history.stages[name] = StageTime(name, "failed", None, event["error"], before.progress)
        elif kind == "stage_interrupted":
            self._history.stages[name] = StageTime(name, "stopped", None, progress=before.progress)


def _line(event: Mapping[str, Any]) -> str | None:
    """Return what an event says to a reader of the curves; None where it says nothing to them."""
    kind = event["event"]
    if kind == "restart":
        return f"{event['reason']}: started again"
    if kind == "checkpoint":
        return f"checkpoint: training stood still for {event['stall_s']:.2g} s, written in {event['write_s']:.2g} s"
    if kind == "step_skipped":
        when = "left out after going back" if event["decided_before"] else "passed over"
        return f"step {event['step']:,} {when}: {event['reason']}"
    if kind == "going_back":
        return (
            f"{event['reason']}: went back, leaving out steps {event['first_step']:,} to {event['last_step']:,} "
            f"({event['document_count']:,} documents)"
        )
    if kind == "phase":
        return f"phase {event['phase']} of {event['phases']} begins"
    if kind == "drift_accepted":
        return f"carried out although it differed from the reviewed plan: {'; '.join(event['lines'])}"
    return event["line"] if kind == "note" else None
