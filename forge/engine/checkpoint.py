"""Saving and resuming: all ranks together, whole or not at all, under any layout."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.engine.checkpoint_folder import (
    AnotherTraining,
    checkpoint_folder,
    checkpoint_name,
    checkpoint_steps,
    clear_leftovers,
    files_problem,
    prune,
    publish,
    read_manifest,
    space_problem,
    temporary_checkpoint,
)
from forge.engine.distributed import Place, from_each_rank, from_rank_0, max_over_ranks
from forge.engine.fragments import (
    held_fragments,
    optimizer_steps,
    owned_fragments,
    renew_weights,
    set_optimizer_steps,
)
from forge.engine.guard import Course, course_from_json, course_to_json
from forge.engine.identity import training_id
from forge.engine.shards import Piece, Shard, affordable_shard_bytes, read_fragments, write_shards
from forge.engine.skips import Window, in_force
from forge.errors import StageError
from forge.plan.types import Plan


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a training goes on."""

    step: int
    course: Course


def save_checkpoint(
    engine: Any,
    plan: Plan,
    run_dir: Path,
    step: int,
    course: Course,
    windows: tuple[Window, ...],
    place: Place,
) -> None:
    """Write the state after `step` steps to run_dir/checkpoints/step-<step>; all ranks call it.

    Each rank writes the part it owns, 12 bytes a parameter in all. The folder gets its name when every byte is on
    disk; then all but the newest `keep_checkpoints` are removed.

    Raises:
        StageError: the disk is full or the write failed; earlier checkpoints are untouched.
    """
    folder = checkpoint_folder(run_dir)
    temporary = temporary_checkpoint(folder, step)
    problem = None
    if place.rank == 0:
        try:
            clear_leftovers(folder)
            problem = space_problem(folder, step, plan.model.parameters)
            if problem is None:
                temporary.mkdir()
        except OSError as error:
            problem = _not_written(step, folder, error)
    if problem := from_rank_0(problem, place):
        raise StageError(problem)
    shards: list[Shard] = []
    try:
        owned = owned_fragments(engine, plan.layout.zero_stage, place)
        shards = write_shards(owned, temporary, place.rank, affordable_shard_bytes(place.world_size))
    except OSError as error:
        problem = _not_written(step, folder, error)
    adam_steps = max_over_ranks(optimizer_steps(engine), place)
    written: list[tuple[str | None, list[Shard]]] = from_each_rank((problem, shards), place)
    problem = next((found for found, _ in written if found), None)
    if place.rank == 0 and problem is None:
        try:
            manifest = {
                "step": step,
                "plan": plan.id,
                "training": training_id(plan),
                "world_size": plan.layout.world_size,
                "zero_stage": plan.layout.zero_stage,
                "adam_steps": adam_steps,
                "course": course_to_json(course),
                "left_out": in_force(step, windows),
                **_listed([shard for _, some in written for shard in some]),
            }
            publish(folder, step, manifest)
            prune(folder, plan.schedule.keep_checkpoints, step)
        except OSError as error:
            problem = _not_written(step, folder, error)
    if problem := from_rank_0(problem, place):
        # The half that was written may fill the disk so that not even the error can be recorded.
        shutil.rmtree(temporary, ignore_errors=True)
        raise StageError(problem)


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
        held = held_fragments(engine, plan.layout.zero_stage, place)
        read_fragments(held, pieces_of(manifest), checkpoint)
        set_optimizer_steps(engine, manifest["adam_steps"])
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


def _listed(shards: Sequence[Shard]) -> dict[str, Any]:
    tensors: dict[str, dict[str, Any]] = {}
    for shard in shards:
        for piece in shard.pieces:
            tensor = tensors.setdefault(piece.name, {"shape": list(piece.shape), "pieces": []})
            tensor["pieces"].append([piece.start, piece.numel, piece.file])
    files = {shard.name: {"bytes": shard.size_bytes, "sha256": shard.sha256} for shard in shards}
    return {"files": files, "tensors": tensors}


def _not_written(step: int, folder: Path, error: OSError) -> str:
    remedy = {
        errno.EACCES: "make the folder writable",
        errno.EROFS: "make the folder writable",
        errno.EIO: "look after the disk",
    }.get(error.errno or 0, "is the disk full?")
    return (
        f"train: the checkpoint of step {step} could not be written to {folder} ({error.strerror or error}): "
        f"{remedy}; earlier checkpoints are intact"
    )
