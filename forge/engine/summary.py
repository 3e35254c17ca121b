"""training.json: what a finished training measured, over all its attempts."""

from __future__ import annotations

import platform
import statistics
from pathlib import Path
from typing import Any

import deepspeed
import torch
import transformers

from forge.engine.events import read_events
from forge.plan.types import Plan


def summarize(plan: Plan, events_path: Path, peak_memory_bytes: int) -> dict[str, Any]:
    """Return the summary of a training that has done all its steps.

    Losses are in nats a token. `wall_clock_s` adds up the attempts, from each launch to its last event; time between
    attempts is not counted. `peak_memory_bytes` is the largest of any process in the last attempt.
    """
    events, _ = read_events(events_path)
    steps: dict[int, dict[str, Any]] = {}
    for event in events:  # of a step that is there several times the last line counts
        if event["event"] == "step":
            steps[event["step"]] = event
        if event["event"] == "step_skipped":
            steps.pop(event["step"], None)
    starts = [event for event in events if event["event"] == "train_start"]
    step_time_s = statistics.median(event["step_time_s"] for event in steps.values())
    return {
        "steps": plan.schedule.steps,
        "tokens": plan.schedule.tokens,
        "first_loss": steps[min(steps)]["loss"],
        "final_loss": steps[max(steps)]["loss"],
        "wall_clock_s": _wall_clock_s(events),
        "start_up_s": starts[-1]["start_up_s"],
        "attempts": len(starts),
        "restarts": sum(event["event"] == "restart" for event in _after_reference(events)),
        "steps_skipped": _steps_skipped(events),
        "step_time_s": step_time_s,
        "tokens_per_second": plan.schedule.global_batch_tokens / step_time_s,
        "peak_memory_bytes": peak_memory_bytes,
        "world_size": plan.layout.world_size,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "deepspeed": deepspeed.__version__,
            "transformers": transformers.__version__,
        },
    }


def _after_reference(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events since the reference was read, whose workers are started again in the same way."""
    ends = [place for place, event in enumerate(events) if event["event"] == "reference_end"]
    return events[ends[-1] + 1 :] if ends else events


def _steps_skipped(events: list[dict[str, Any]]) -> list[int]:
    """Return the steps that changed nothing in the end: their loss was not finite, or they are left out."""
    skipped = set()
    for event in events:
        if event["event"] == "step_skipped":
            skipped.add(event["step"])
        if event["event"] == "step":
            skipped.discard(event["step"])
    return sorted(skipped)


def _wall_clock_s(events: list[dict[str, Any]]) -> float:
    total_s = launched_s = latest_s = 0.0
    for event in events:
        if event["event"] == "train_start":
            total_s += latest_s - launched_s
            launched_s = event["time"] - event["start_up_s"]
        if event["event"] in ("train_start", "step", "checkpoint", "train_end"):
            latest_s = event["time"]
    return total_s + latest_s - launched_s
