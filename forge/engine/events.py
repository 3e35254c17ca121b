"""The engine's lines in a run's `events.jsonl`.

A resumed run appends. Steps after its checkpoint were logged before and are logged again: a reader takes the last
line for a step.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

SHOWN = {
    "step": (
        "loss",
        "smoothed_loss",
        "learning_rate",
        "gradient_norm",
        "expert_load_max_over_mean",
        "tokens_per_second",
        "model_flops_utilization",
        "peak_memory_bytes",
        "epoch",
        "loss_scale",
        "reward_margin",
        "preference_accuracy",
    ),
    "evaluation": ("held_out_loss", "held_out_reward_margin", "held_out_preference_accuracy"),
}
"""Fields that are curves over steps, by event: what TensorBoard and other trackers draw."""


def shown_values(event: dict[str, Any]) -> dict[str, float]:
    """Return what an event adds to curves, by name; nothing where it is of no step."""
    names = SHOWN.get(event["event"], ())
    return {name: event[name] for name in names if event.get(name) is not None}


def append_event(path: Path, event: str, **fields: Any) -> None:
    """Append one event, in one write, on a line of its own even after a line that a killed process left unfinished."""
    line = json.dumps({"time": time.time(), "event": event, **fields}, allow_nan=False) + "\n"
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        torn = False
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + line.encode())


def read_events(path: Path, offset_bytes: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the whole events from `offset_bytes` on, and the offset to go on from. Damaged lines are passed over."""
    if not path.exists():
        return [], offset_bytes
    with path.open("rb") as file:
        file.seek(offset_bytes)
        data = file.read()
    whole = data.rfind(b"\n") + 1
    events = []
    for line in data[:whole].splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            events.append(event)
    return events, offset_bytes + whole
