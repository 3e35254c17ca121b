"""Artifacts: a stage's output, stored under its key, written once, never changed.

artifacts/<stage>-<key>/artifact.json     what it is, what its making found, how large each file is
artifacts/<stage>-<key>/...               what the stage wrote
artifacts/.tmp-<stage>-<key>/             one in the making
artifacts/.tmp-<stage>-<key>/work/        its finished parts: the next maker goes on from them, and clears the rest
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import MachineError, StageError
from forge.files import WORK_FOLDER, replace_text, sync, sync_tree
from forge.locks import Busy, take_lock, temporary_lock
from forge.plan.types import StagePlan

MANIFEST = "artifact.json"
PARTS_KEPT_S = 7 * 24 * 3600
"""How long finished parts of an artifact wait for the command that goes on with them."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One finished output."""

    stage: str
    key: str
    folder: Path
    summary: dict[str, Any]
    """What the stage found out while making it: counts, sizes, measurements."""
    wall_clock_s: float
    """How long its making took."""


def artifact_folder(root: Path, stage: StagePlan) -> Path:
    """Return where the output of `stage` is stored below `root`."""
    return root / f"{stage.name}-{stage.key}"


def find_artifact(root: Path, stage: StagePlan) -> Artifact | None:
    """Return the artifact of `stage`, or None where there is none.

    Raises:
        StageError: it is there and not as it was written: a file is missing, or has another size.
    """
    folder = artifact_folder(root, stage)
    if not folder.is_dir():
        return None
    remedy = "move that folder away, and the same command makes it again"
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, size_bytes in content["files"].items():
            if (folder / name).stat().st_size != size_bytes:
                raise StageError(f"{stage.name}: {folder / name}: was changed after it was written: {remedy}")
        if (folder / WORK_FOLDER).exists():  # its maker was killed just before it removed it
            shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
        return Artifact(stage.name, stage.key, folder, content["summary"], content["wall_clock_s"])
    except OSError as error:
        raise StageError(
            f"{stage.name}: {error.filename}: cannot be read ({error.strerror}): {remedy}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StageError(f"{stage.name}: {folder / MANIFEST}: is damaged: {remedy}") from None


def make_artifact(
    root: Path, stage: StagePlan, make: Callable[[Path], dict[str, Any]], on_wait: Callable[[], None]
) -> Artifact:
    """Return the artifact of `stage`, made by `make` where it is not there yet.

    `make` fills a folder and returns the summary. The folder is empty, or has the parts that an earlier maker finished
    before it was killed or the machine gave out. It gets its name when every byte is on disk. Two processes that want
    the same artifact make it once.

    Args:
        root: the folder of all artifacts.
        stage: what to make.
        make: fills the folder it is given.
        on_wait: called where another process is making the same artifact, before waiting for it.
    """
    folder = artifact_folder(root, stage)
    temporary = root / f".tmp-{folder.name}"
    root.mkdir(parents=True, exist_ok=True)
    with temporary_lock(root / f".{folder.name}.lock", on_wait):
        found = find_artifact(root, stage)
        if found is not None:
            return found
        _clear(temporary)
        temporary.mkdir(exist_ok=True)
        began_s = time.monotonic()
        try:
            summary = make(temporary)
            wall_clock_s = time.monotonic() - began_s
            _describe(temporary, stage, summary, wall_clock_s)
            sync_tree(temporary)
            temporary.rename(folder)
        except BaseException as error:
            # The half that was written may be what fills the disk. After a user's mistake the key will be another.
            final = isinstance(error, StageError) and not isinstance(error, MachineError)
            shutil.rmtree(temporary, ignore_errors=True) if final else _clear(temporary)
            raise
        sync(root)
        # Only now: until the artifact has its name, the parts are what a kill would leave.
        shutil.rmtree(folder / WORK_FOLDER, ignore_errors=True)
    return Artifact(stage.name, stage.key, folder, summary, wall_clock_s)


def remove_dead(root: Path, stages: Iterable[StagePlan]) -> list[Path]:
    """Remove what is left of artifacts that nobody is making or has come back to for a week; return those folders.

    A folder is kept where a process holds its lock, where one of `stages` goes on with it, and where anything in it was
    written in the last PARTS_KEPT_S.
    """
    wanted = {artifact_folder(root, stage).name for stage in stages}
    removed = []
    for folder in sorted(root.glob(".tmp-*")):
        name = folder.name.removeprefix(".tmp-")
        if name in wanted or time.time() - _last_written_s(folder) < PARTS_KEPT_S:
            continue
        lock = root / f".{name}.lock"
        with contextlib.suppress(Busy, OSError), take_lock(lock, patience_s=0):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            removed.append(folder)
    return removed


def _last_written_s(folder: Path) -> float:
    times = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.lstat().st_mtime)
    return max(times)


def link_artifact(artifact: Artifact, run_dir: Path) -> None:
    """Put a link to the artifact into the run's folder; file systems without links do without."""
    link = run_dir / artifact.stage
    target = Path("..") / ".." / artifact.folder.parent.name / artifact.folder.name
    with contextlib.suppress(OSError):
        if link.is_symlink() and link.readlink() == target:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)


def _clear(folder: Path) -> None:
    """Remove what lies in the folder of an artifact in the making, but for finished parts; and it, if it has none."""
    for path in folder.iterdir() if folder.exists() else ():
        if not path.is_dir():
            path.unlink()
        elif path.name != WORK_FOLDER:
            shutil.rmtree(path)
    for empty in (folder / WORK_FOLDER, folder):
        with contextlib.suppress(OSError):
            empty.rmdir()


def _describe(folder: Path, stage: StagePlan, summary: dict[str, Any], wall_clock_s: float) -> None:
    work = folder / WORK_FOLDER
    files = sorted(path for path in folder.rglob("*") if path.is_file() and work not in path.parents)
    content = {
        "stage": stage.name,
        "key": stage.key,
        "parameters": stage.parameters,
        "wall_clock_s": wall_clock_s,
        "summary": summary,
        "files": {path.relative_to(folder).as_posix(): path.stat().st_size for path in files},
    }
    replace_text(folder / MANIFEST, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
