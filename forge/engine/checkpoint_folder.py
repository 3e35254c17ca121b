"""run_dir/checkpoints on disk: which checkpoints are whole, how one is published, which are removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from forge.files import sync, sync_tree

MANIFEST = "manifest.json"
BYTES_PER_PARAMETER = 12
"""fp32 weights and two Adam moments, at every ZeRO stage and precision."""

_PREFIX = "step-"


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


def read_manifest(checkpoint: Path, training: str) -> dict[str, Any]:
    """Return what a checkpoint says of itself.

    Raises:
        ValueError: it can't be read, or belongs to another training than `training`; the words say why.
    """
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        owner, files = manifest["training"], manifest["files"]
        if not all(isinstance(facts["bytes"], int) and facts["sha256"] for facts in files.values()):
            raise TypeError
    except OSError as error:
        raise ValueError(f"{MANIFEST} can't be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{MANIFEST} is damaged") from None
    if owner != training:
        raise ValueError(f"it belongs to another training ({owner}: another model, schedule, seed or data)")
    found: dict[str, Any] = manifest
    return found


def files_problem(checkpoint: Path, files: dict[str, dict[str, Any]], names: Sequence[str]) -> str | None:
    """Return what is wrong with the files `names` of a checkpoint, or None when every byte is as it was written."""
    try:
        for name in names:
            if (checkpoint / name).stat().st_size != files[name]["bytes"]:
                return f"{name} has the wrong size"
        digests = _digests(checkpoint, names)
    except OSError as error:
        return f"{Path(error.filename or checkpoint).name} can't be read ({error.strerror})"
    for name in names:
        if digests[name] != files[name]["sha256"]:
            return f"{name} was changed after it was written"
    return None


def space_problem(folder: Path, step: int, parameters: int) -> str | None:
    """Return a line when the disk has no room for one more checkpoint of `parameters` parameters, else None."""
    needed_bytes = parameters * BYTES_PER_PARAMETER
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


def publish(folder: Path, step: int, manifest: dict[str, Any]) -> None:
    """Add `manifest` to the temporary checkpoint, bring all of it to disk and give it its name."""
    temporary, final = temporary_checkpoint(folder, step), folder / checkpoint_name(step)
    text = json.dumps(manifest, allow_nan=False) + "\n"
    (temporary / MANIFEST).write_text(text, encoding="utf-8")
    sync_tree(temporary)
    doomed = final.with_name(f".tmp-{final.name}-replaced")
    if final.exists():  # it did not verify, or the run came by this step a second time
        final.rename(doomed)
    temporary.rename(final)
    sync(folder)
    shutil.rmtree(doomed, ignore_errors=True)


def prune(folder: Path, keep: int) -> None:
    """Remove all checkpoints but the `keep` newest; a kill half-way leaves nothing under a checkpoint's name."""
    for step in checkpoint_steps(folder)[keep:]:
        checkpoint = folder / checkpoint_name(step)
        doomed = checkpoint.with_name(f".tmp-{checkpoint.name}-removed")
        checkpoint.rename(doomed)
        shutil.rmtree(doomed)


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    def digest(name: str) -> str:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))
