"""Saving and resuming: all ranks together, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from forge.engine.checkpoint_folder import (
    checkpoint_folder,
    checkpoint_name,
    clear_leftovers,
    newest_usable,
    prune,
    publish,
    space_problem,
    temporary_checkpoint,
)
from forge.engine.distributed import Place, from_rank_0
from forge.errors import StageError
from forge.plan.types import Plan

_TAG = "state"


def save_checkpoint(engine: Any, plan: Plan, run_dir: Path, step: int, place: Place) -> None:
    """Write the state after `step` steps to run_dir/checkpoints/step-<step>; all ranks call it.

    The folder gets its name when every byte is on disk; then all but the newest `keep_checkpoints` are removed.

    Raises:
        StageError: the disk is full or the write failed; earlier checkpoints are untouched.
    """
    folder = checkpoint_folder(run_dir)
    problem = None
    if place.rank == 0:
        clear_leftovers(folder)
        problem = space_problem(folder, step, plan.model.parameters)
    if problem := from_rank_0(problem, place):
        raise StageError(problem)
    try:
        engine.save_checkpoint(str(temporary_checkpoint(folder, step)), tag=_TAG, save_latest=False)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
        raise _not_written(step, folder, error) from error
    torch.distributed.barrier()
    if place.rank == 0:
        try:
            publish(folder, step, plan)
            prune(folder, plan.schedule.keep_checkpoints)
        except OSError as error:
            raise _not_written(step, folder, error) from error
    torch.distributed.barrier()


def load_checkpoint(
    engine: Any, plan: Plan, run_dir: Path, place: Place, tell: Callable[[str], None]
) -> int | None:
    """Load the newest checkpoint that verifies and return its step, or None when there is none; all ranks call it.

    Rank 0 checks plan id, sizes and checksums; its `tell` gets a line for each checkpoint passed over.
    """
    folder = checkpoint_folder(run_dir)
    step: int | None = from_rank_0(newest_usable(folder, plan, tell) if place.rank == 0 else None, place)
    if step is None:
        return None
    checkpoint = folder / checkpoint_name(step)
    loaded, _ = engine.load_checkpoint(str(checkpoint), tag=_TAG)
    if loaded is None:
        raise RuntimeError(
            f"DeepSpeed found nothing to load in {checkpoint}, although its checksums are right"
        )
    return step


def _not_written(step: int, folder: Path, error: Exception) -> StageError:
    # The half that was written may fill the disk so that not even the error can be recorded.
    shutil.rmtree(temporary_checkpoint(folder, step), ignore_errors=True)
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return StageError(
        f"train: the checkpoint of step {step} could not be written to {folder} ({first}): "
        "is the disk full? earlier checkpoints are intact"
    )
