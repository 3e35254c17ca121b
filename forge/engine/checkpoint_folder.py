"""run_dir/checkpoints on disk: which checkpoints are whole, how one is published, which are removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from forge.files import replace_text, sync
from forge.plan.types import content_hash

MANIFEST = "manifest.json"
BYTES_PER_PARAMETER = 12
"""fp32 weights and two Adam moments, at every ZeRO stage and precision."""

_PREFIX = "step-"
_PARTS = "part-rank*.json"
_CHECKSUM = "sha256"
"""Key in a manifest: the hash of all the rest of it."""


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


class AnotherTraining(ValueError):
    """A checkpoint was written by a training that does not go on here."""


def read_manifest(checkpoint: Path, training: str) -> dict[str, Any]:
    """Return what a checkpoint says of itself.

    Raises:
        AnotherTraining: it belongs to another training than `training`.
        ValueError: it can't be read, or was changed; the words say why.
    """
    try:
        manifest: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        written = manifest.pop(_CHECKSUM)
    except OSError as error:
        raise ValueError(f"{MANIFEST} can't be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{MANIFEST} is damaged") from None
    if written != content_hash(manifest):
        raise ValueError(f"{MANIFEST} was changed after it was written")
    if (owner := manifest["training"]) != training:
        raise AnotherTraining(
            f"it belongs to another training ({owner}: another model, schedule, seed or data)"
        )
    return manifest


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


def writing_problem(folder: Path) -> str | None:
    """Return a line when no checkpoint can be written below `folder` (made when missing), else None."""
    probe = folder / f".tmp-{_PREFIX}probe"
    try:
        clear_leftovers(folder)
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        return (
            f"train: {folder}: can't be written ({error.strerror or error}): checkpoints go there: set output_dir to "
            "a folder you may write to"
        )
    return None


def clear_leftovers(folder: Path) -> None:
    """Make `folder` and remove from it what a killed process left half-written or half-removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".tmp-{_PREFIX}*"):
        shutil.rmtree(leftover)


def temporary_checkpoint(folder: Path, step: int) -> Path:
    """Return where the checkpoint of `step` is written before it is published."""
    return folder / f".tmp-{checkpoint_name(step)}"


def write_part(folder: Path, step: int, rank: int, part: dict[str, Any]) -> None:
    """Say that all that `rank` writes of the checkpoint is on disk, and what it is."""
    replace_text(_part(temporary_checkpoint(folder, step), rank), json.dumps(part, allow_nan=False) + "\n")


def remove_part(folder: Path, step: int, rank: int) -> None:
    """Remove what `rank` has written of a checkpoint that will not be whole: it may be what fills the disk."""
    for path in temporary_checkpoint(folder, step).glob(f"*rank{rank:05d}*"):
        path.unlink(missing_ok=True)


def read_parts(folder: Path, step: int, ranks: int) -> list[dict[str, Any]] | None:
    """Return what each rank says it has written, in order of rank; None while one is not ready."""
    paths = [_part(temporary_checkpoint(folder, step), rank) for rank in range(ranks)]
    if not all(path.exists() for path in paths):
        return None
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def publish(folder: Path, step: int, manifest: dict[str, Any]) -> None:
    """Add `manifest` to the temporary checkpoint, whose files are on disk, and give it its name."""
    temporary, final = temporary_checkpoint(folder, step), folder / checkpoint_name(step)
    for part in temporary.glob(_PARTS):
        part.unlink()
    text = json.dumps(manifest | {_CHECKSUM: content_hash(manifest)}, allow_nan=False) + "\n"
    (temporary / MANIFEST).write_text(text, encoding="utf-8")
    sync(temporary / MANIFEST)
    sync(temporary)
    doomed = final.with_name(f".tmp-{final.name}-replaced")
    if final.exists():  # it did not verify, or the run came by this step a second time
        final.rename(doomed)
    temporary.rename(final)
    sync(folder)
    shutil.rmtree(doomed, ignore_errors=True)


def kept_steps(
    steps: Sequence[int], step: int, keep_newest: int, keep_every_steps: int, best_step: int | None
) -> set[int]:
    """Return which checkpoints stay, of those of `steps`, when that of `step` was just written.

    The `keep_newest` newest up to `step`, every one whose step is a multiple of `keep_every_steps` (0: none for that),
    and the best. Those of later steps were passed over when the training went on from an earlier one: they did not
    verify, or hold steps that are left out by now. Counted among the newest they would push out the good ones.
    """
    reached = sorted((one for one in steps if one <= step), reverse=True)
    kept = set(reached[:keep_newest])
    if keep_every_steps:
        kept |= {one for one in reached if one % keep_every_steps == 0}
    if best_step is not None and best_step in reached:
        kept.add(best_step)
    return kept


def prune(folder: Path, kept: set[int]) -> None:
    """Remove all checkpoints but those of the steps `kept`. A kill half-way leaves nothing under one's name."""
    for doomed_step in (one for one in checkpoint_steps(folder) if one not in kept):
        checkpoint = folder / checkpoint_name(doomed_step)
        doomed = checkpoint.with_name(f".tmp-{checkpoint.name}-removed")
        checkpoint.rename(doomed)
        shutil.rmtree(doomed)


def _part(temporary: Path, rank: int) -> Path:
    return temporary / f"part-rank{rank:05d}.json"


def _digests(folder: Path, names: Sequence[str]) -> dict[str, str]:
    def digest(name: str) -> str:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))
