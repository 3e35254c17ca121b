"""Hands a run's events on to a tracker, as they come, each once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forge.engine.events import read_events, shown_values
from forge.files import replace_text
from forge.locks import is_held
from forge.plan.types import Plan
from forge.run.evaluations import plan_of
from forge.run.run import RUN_LOCK
from forge.run.summary import SUMMARY
from forge.run.tracking.tracker import TRACKING, Destinations, Opener, Setting, Tracked, Tracker

LOOK_EVERY_S = 1.0
TRACKED_GROUPS = ("model", "train", "engine", "tokenizer")
PATHS = frozenset({"model.init_from", "tokenizer.path"})


def tracked_run(plan: Plan, run_dir: Path, tracker: str) -> Tracked:
    """Return what tracker `tracker` is told of a run."""
    settings: dict[str, Setting] = {
        "plan": plan.id,
        "hardware": plan.layout.hardware,
        "parameters": plan.model.parameters,
        "seed": plan.spec["seed"],
    }
    for group in TRACKED_GROUPS:
        settings |= dict(_leaves(plan.spec[group], group))
    folder = run_dir / TRACKING / tracker
    folder.mkdir(parents=True, exist_ok=True)
    return Tracked(plan.name, plan.id, settings, folder)


def _leaves(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Setting]]:
    for name, value in values.items():
        key = f"{prefix}.{name}"
        if key in PATHS:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, key)
        elif isinstance(value, list):
            yield key, json.dumps(value)
        else:
            yield key, value


def follow_plan(run_dir: Path, name: str, open_tracker: Opener, destinations: Destinations) -> int:
    """Follow the run in a folder for the tracker of this name, as `follow`.

    Raises:
        SpecError: the folder is no run, or the tracker cannot be told there.
    """
    tracked = tracked_run(plan_of(run_dir), run_dir, name)
    return follow(run_dir, tracked, open_tracker(tracked, destinations))


def follow(run_dir: Path, tracked: Tracked, tracker: Tracker) -> int:
    """Hand on what happened to a run and what still happens, until it is no longer carried out.

    A later call goes on behind the last event that was handed on.

    Args:
        run_dir: the run.
        tracked: as `tracked_run` returned it.
        tracker: is told, and closed at the end.

    Returns:
        how many events were handed on.
    """
    position = tracked.folder / "position.json"
    offset_bytes, told = _read(position)
    handed_on = 0
    finished = False
    try:
        while True:
            # Asked first: what is written before the run lets go of its lock is then in the events.
            goes_on = is_held(run_dir / RUN_LOCK)
            events, offset_bytes = read_events(run_dir / "events.jsonl", offset_bytes)
            for event in events:
                if values := shown_values(event):
                    tracker.log(event["step"], event["time"], values)
                    handed_on += 1
            if events:
                tracker.flush()
                _write(position, offset_bytes, told=False)
                told = False
            if not goes_on:
                break
            time.sleep(LOOK_EVERY_S)
        summary = run_dir / SUMMARY
        finished = summary.is_file()
        if finished and not told:
            _log_outcome(json.loads(summary.read_text(encoding="utf-8")), tracker)
            tracker.flush()
            _write(position, offset_bytes, told=True)
    finally:
        tracker.close(finished)
    return handed_on


def _read(position: Path) -> tuple[int, bool]:
    """Return how much of the events was handed on, and whether the outcome was."""
    if not position.is_file():
        return 0, False
    content = json.loads(position.read_text(encoding="utf-8"))
    return content["offset_bytes"], content["outcome_told"]


def _write(position: Path, offset_bytes: int, told: bool) -> None:
    replace_text(position, json.dumps({"offset_bytes": offset_bytes, "outcome_told": told}) + "\n")


def _log_outcome(summary: dict[str, Any], tracker: Tracker) -> None:
    """Hand on what the evaluation found, as values of the last step."""
    evaluation = summary["evaluation"]
    values = {
        f"final_{name}": float(value)
        for name, value in evaluation.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    tracker.log(summary["training"]["steps"], time.time(), values)
