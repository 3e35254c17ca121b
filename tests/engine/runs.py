"""Trains a plan in this process, and reads what a training left."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file

from forge.engine.checkpoint import pieces_of
from forge.engine.checkpoint_folder import checkpoint_name, read_manifest
from forge.engine.distributed import Place
from forge.engine.events import read_events
from forge.engine.heartbeat import Heartbeat
from forge.engine.identity import training_id
from forge.engine.shards import read_weights
from forge.engine.stopping import StopRequest
from forge.plan.types import Plan, plan_to_json
from tests.events import EVENT_VALIDATOR

if TYPE_CHECKING:
    from forge.engine.worker import Surroundings


def make_run(folder: Path, plan: Plan) -> Path:
    """Make a run folder with its plan.json and an empty `out` beside it."""
    run_dir = folder / "run"
    run_dir.mkdir(parents=True)
    (folder / "out").mkdir()
    (run_dir / "plan.json").write_text(plan_to_json(plan))
    return run_dir


def train_here(plan: Plan, tokens: Path, run_dir: Path, place: Place, reference: Path | None = None) -> None:
    """Train in this process as the only rank."""
    from forge.engine.worker import work

    work(plan, tokens, surroundings(run_dir, run_dir.parent / "out", reference), place)


def refer_here(plan: Plan, tokens: Path, run_dir: Path, out: Path, place: Place) -> None:
    """Read the reference of preferences into `out` in this process as the only rank."""
    from forge.engine.reference import refer

    out.mkdir(exist_ok=True)
    refer(plan, tokens, surroundings(run_dir, out), place)


def surroundings(run_dir: Path, out: Path, reference: Path | None = None) -> Surroundings:
    """Return what a worker in this process is given."""
    from forge.engine.worker import Surroundings

    (run_dir / "logs").mkdir(exist_ok=True)
    beats = Heartbeat(run_dir / "logs", 0)
    return Surroundings(run_dir, out, lambda: 0.0, StopRequest(run_dir), beats, reference)


def train_to_the_end(plan: Plan, tokens: Path, run_dir: Path, place: Place) -> None:
    """Train in this process, and again after each time it goes back, as the parent does."""
    train_here(plan, tokens, run_dir, place)
    while events_of(run_dir, "train_end")[-1]["ending"] == "going back":
        train_here(plan, tokens, run_dir, place)


def train_in_two(
    plan: Plan, tokens: Path, run_dir: Path, place: Place, reference: Path | None = None
) -> None:
    """Train in this process to a stop after the first step, and from there to the end."""
    (run_dir / "stop").touch()
    train_here(plan, tokens, run_dir, place, reference)
    assert list(losses(run_dir)) == [1]
    assert not list((run_dir.parent / "out").iterdir())
    (run_dir / "stop").unlink()
    train_here(plan, tokens, run_dir, place, reference)
    assert [start["resumed_from"] for start in events_of(run_dir, "train_start")] == [None, 1]


def losses(run_dir: Path) -> dict[int, float]:
    """Return the loss of each logged step: the last line for a step counts."""
    events, _ = read_events(run_dir / "events.jsonl")
    return {event["step"]: event["loss"] for event in events if event["event"] == "step"}


def losses_after_going_back(run_dir: Path) -> dict[int, float]:
    """Return the loss of each step that was not left out in the end."""
    left_out = {event["step"] for event in events_of(run_dir, "step_skipped")}
    return {step: loss for step, loss in losses(run_dir).items() if step not in left_out}


def state_of(run_dir: Path, plan: Plan, step: int) -> dict[str, Any]:
    """Return the fp32 weights of a checkpoint."""
    checkpoint = run_dir / "checkpoints" / checkpoint_name(step)
    return dict(read_weights(pieces_of(read_manifest(checkpoint, training_id(plan))), checkpoint))


def events_of(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of one kind; every event of the run must be as the schema says."""
    events, _ = read_events(run_dir / "events.jsonl")
    for event in events:
        EVENT_VALIDATOR.validate(event)
    return [event for event in events if event["event"] == kind]


def weights(run_dir: Path) -> dict[str, Any]:
    """Return the saved weights."""
    tensors: dict[str, Any] = load_file(run_dir.parent / "out" / "model.safetensors")
    return tensors


def weights_sha256(run_dir: Path) -> str:
    """Return the digest of the saved weights file."""
    return hashlib.sha256((run_dir.parent / "out" / "model.safetensors").read_bytes()).hexdigest()


def training(run_dir: Path) -> dict[str, Any]:
    """Return training.json."""
    content: dict[str, Any] = json.loads((run_dir.parent / "out" / "training.json").read_text())
    return content
