"""The weights of a run: those its training left, or those of the newest checkpoint of one that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forge.engine.checkpoint_folder import (
    MANIFEST,
    checkpoint_folder,
    checkpoint_name,
    checkpoint_steps,
    files_problem,
    read_manifest,
)
from forge.engine.identity import training_id
from forge.errors import StageError
from forge.plan.types import Plan
from forge.progress import Progress


def newest_checkpoint(
    plan: Plan, run_dir: Path, what: str, progress: Progress
) -> tuple[Path, dict[str, Any]]:
    """Return the newest checkpoint whose every byte is as it was written, and its manifest.

    Raises:
        StageError: there is none of this plan's training; `what` begins the line.
    """
    folder = checkpoint_folder(run_dir)
    for step in checkpoint_steps(folder):
        checkpoint = folder / checkpoint_name(step)
        try:
            manifest = read_manifest(checkpoint, training_id(plan))
            problem = files_problem(checkpoint, manifest["files"], sorted(manifest["files"]))
        except ValueError as error:
            problem = str(error)
        if problem is None:
            return checkpoint, manifest
        progress.note(f"checkpoint {checkpoint.name} is not used: {problem}")
    raise StageError(
        f"{what}: {folder}: has no whole checkpoint ({MANIFEST} and its files): give the run's forge-run command again"
    )


def write_weights(plan: Plan, checkpoint: Path, manifest: dict[str, Any], what: str, out: Path) -> None:
    """Write the weights of a checkpoint as the train stage leaves them, in the precision of the training.

    Raises:
        StageError: it holds adapters alone; `what` begins the line.
    """
    if plan.model.lora_rank:
        raise StageError(
            f"{what}: {checkpoint}: holds adapters alone: give the run's forge-run command again, its end merges them"
        )
    from forge.engine.checkpoint import pieces_of
    from forge.engine.shards import read_weights
    from forge.engine.weights import weights_dtype, write_transformers_folder

    weights = read_weights(pieces_of(manifest), checkpoint)
    dtype = weights_dtype(plan)
    write_transformers_folder({name: tensor.to(dtype) for name, tensor in weights.items()}, plan, out)
