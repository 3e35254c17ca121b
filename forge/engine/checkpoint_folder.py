"""run_dir/checkpoints on disk: which checkpoints are whole, how one is published, which are removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from forge.files import sync, sync_tree
from forge.plan.types import Plan

MANIFEST = "manifest.json"
_PREFIX = "step-"
_BYTES_PER_PARAMETER = 16
"""Weights, fp32 master weights and two Adam moments: the most any ZeRO stage writes (fp32, stages 1 and 2)."""


def checkpoint_folder(run_dir: Path) -> Path:
    """Return the folder that holds the checkpoints of a run."""
    return run_dir / "checkpoints"


def checkpoint_name(step: int) -> str:
    """Return the folder name of the checkpoint after `step` steps."""
    return f"{_PREFIX}{step:08d}"


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint in `folder`, newest first."""
    names = [path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*")]
    return sorted((int(name) for name in names if name.isdigit()), reverse=True)


def newest_usable(folder: Path, plan: Plan, tell: Callable[[str], None]) -> int | None:
    """Return the newest step whose checkpoint is whole and of `plan`, or None; `tell` gets a line for each other."""
    for step in checkpoint_steps(folder):
        problem = checkpoint_problem(folder / checkpoint_name(step), plan)
        if problem is None:
            return step
        tell(f"train: checkpoint {checkpoint_name(step)} is not used: {problem}")
    return None


def checkpoint_problem(checkpoint: Path, plan: Plan) -> str | None:
    """Return why `plan` can't resume from `checkpoint`, or None when it fits, with every byte as it was written."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["plan"] != plan.id:
            return f"it belongs to plan {manifest['plan']}"
        for name, facts in files.items():
            if (checkpoint / name).stat().st_size != facts["bytes"]:
                return f"{name} has the wrong size"
        digests = _digests(checkpoint, list(files))
        for name, facts in files.items():
            if digests[name] != facts["sha256"]:
                return f"{name} was changed after it was written"
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name} can't be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is damaged"
    return None


def space_problem(folder: Path, step: int, parameters: int) -> str | None:
    """Return a line when the disk has no room for one more checkpoint, else None.

    One more is taken to be as large as the newest, or 16 bytes a parameter before there is one.
    """
    needed_bytes = parameters * _BYTES_PER_PARAMETER
    for earlier in checkpoint_steps(folder)[:1]:
        files = [path for path in (folder / checkpoint_name(earlier)).rglob("*") if path.is_file()]
        needed_bytes = sum(path.stat().st_size for path in files)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= needed_bytes:
        return None
    return (
        f"train: the checkpoint of step {step} needs {needed_bytes / 1e9:.3g} GB and {folder} has "
        f"{free_bytes / 1e9:.3g} GB left: free some space; earlier checkpoints are intact"
    )


def clear_leftovers(folder: Path) -> None:
    """Make `folder` and remove from it what a killed process left half-written or half-removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".tmp-{_PREFIX}*"):
        shutil.rmtree(leftover)


def temporary_checkpoint(folder: Path, step: int) -> Path:
    """Return where the checkpoint of `step` is written before it is published."""
    return folder / f".tmp-{checkpoint_name(step)}"


def publish(folder: Path, step: int, plan: Plan) -> None:
    """List the temporary checkpoint's files with checksums, bring it to disk and give it its name."""
    temporary, final = temporary_checkpoint(folder, step), folder / checkpoint_name(step)
    names = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*") if path.is_file())
    digests = _digests(temporary, names)
    manifest = {
        "step": step,
        "plan": plan.id,
        "world_size": plan.layout.world_size,
        "zero_stage": plan.layout.zero_stage,
        "files": {
            name: {"bytes": (temporary / name).stat().st_size, "sha256": digests[name]} for name in names
        },
    }
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    sync_tree(temporary)
    if final.exists():  # it did not verify, so the run came by this step a second time
        _remove(final)
    temporary.rename(final)
    sync(folder)


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the `keep` newest."""
    for step in checkpoint_steps(folder)[keep:]:
        _remove(folder / checkpoint_name(step))


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint so that a kill half-way leaves nothing under a checkpoint's name."""
    doomed = checkpoint.with_name(f".tmp-{checkpoint.name}-removed")
    checkpoint.rename(doomed)
    shutil.rmtree(doomed)


def _digests(folder: Path, names: list[str]) -> dict[str, str]:
    def digest(name: str) -> str:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))
