"""Resuming: the newest checkpoint that verifies, under any layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.engine.checkpoint_folder import (
    AnotherTraining,
    checkpoint_folder,
    checkpoint_name,
    checkpoint_steps,
    files_problem,
    read_manifest,
)
from forge.engine.distributed import Place, from_each_rank, from_rank_0
from forge.engine.fragments import held_fragments, renew_weights, set_optimizer_steps
from forge.engine.guard import Course, course_from_json
from forge.engine.identity import training_id
from forge.engine.loss_scale import set_loss_scale
from forge.engine.shards import Piece, read_fragments
from forge.engine.skips import Window, in_force
from forge.errors import StageError
from forge.plan.types import Plan


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a training goes on."""

    step: int
    course: Course


def load_checkpoint(
    engine: Any,
    plan: Plan,
    run_dir: Path,
    windows: tuple[Window, ...],
    place: Place,
    tell: Callable[[str], None],
) -> Resumed | None:
    """Load the newest checkpoint that verifies; None when there is none; all ranks call it.

    It may have been written by any number of processes at any ZeRO stage. The ranks share the work of checking every
    byte; `tell` gets a line for each checkpoint passed over.

    Raises:
        StageError: one belongs to another training. Going on would remove it.
    """
    folder = checkpoint_folder(run_dir)
    steps: list[int] = from_rank_0(checkpoint_steps(folder), place)
    for step in steps:
        checkpoint = folder / checkpoint_name(step)
        manifest, problem = _verified(checkpoint, step, plan, windows, place)
        if problem is not None:
            tell(f"train: checkpoint {checkpoint.name} is not used: {problem}")
            continue
        pieces = pieces_of(manifest)
        for held in held_fragments(engine, plan.layout.zero_stage, place, changing=True):
            read_fragments(held, pieces, checkpoint)
        set_optimizer_steps(engine, manifest["adam_steps"])
        set_loss_scale(engine, manifest.get("loss_scale"))
        renew_weights(engine, plan.layout.zero_stage)
        return Resumed(step, course_from_json(manifest["course"]))
    return None


def pieces_of(manifest: dict[str, Any]) -> dict[str, list[Piece]]:
    """Return where the pieces of each parameter are, by its name."""
    pieces: dict[str, list[Piece]] = {}
    for name, tensor in manifest["tensors"].items():
        shape = tuple(tensor["shape"])
        pieces[name] = [Piece(name, shape, start, numel, file) for start, numel, file in tensor["pieces"]]
    return pieces


def _verified(
    checkpoint: Path, step: int, plan: Plan, windows: tuple[Window, ...], place: Place
) -> tuple[dict[str, Any], str | None]:
    manifest: dict[str, Any] = {}
    problem = refusal = None
    if place.rank == 0:
        try:
            manifest = read_manifest(checkpoint, training_id(plan))
            if manifest["left_out"] != in_force(step, windows):
                problem = "it was trained on steps that are left out by now"
        except AnotherTraining as error:
            refusal = f"train: {checkpoint}: {error}: move it away, or go on with the plan that wrote it"
        except ValueError as error:
            problem = str(error)
    manifest, problem, refusal = from_rank_0((manifest, problem, refusal), place)
    if refusal is not None:
        raise StageError(refusal)
    if problem is None:
        mine = sorted(manifest["files"])[place.rank :: place.world_size]
        problems = from_each_rank(files_problem(checkpoint, manifest["files"], mine), place)
        problem = next((found for found in problems if found), None)
    return manifest, problem
