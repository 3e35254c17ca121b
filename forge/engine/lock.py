"""One training at a time in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from forge.errors import StageError
from forge.locks import Busy, take_lock


def hold_run_lock(run_dir: Path, patience_s: float) -> IO[str]:
    """Take run_dir/train.lock for as long as the returned file stays open; the kernel frees it with the process.

    Raises:
        StageError: another training still holds it after `patience_s`.
    """
    try:
        return take_lock(run_dir / "train.lock", patience_s)
    except Busy:
        raise StageError(
            f"train: another training is at work in {run_dir}: wait for it or stop it, then try again"
        ) from None
