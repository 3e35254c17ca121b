"""One training at a time in a run folder."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from forge.errors import StageError


def hold_run_lock(run_dir: Path, patience_s: float) -> IO[str]:
    """Take run_dir/train.lock for as long as the returned file stays open; the kernel frees it with the process.

    Raises:
        StageError: another training still holds it after `patience_s`.
    """
    file = (run_dir / "train.lock").open("a")
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up:
                file.close()
                raise StageError(
                    f"train: another training is at work in {run_dir}: wait for it or stop it, then try again"
                ) from None
            time.sleep(0.1)
        else:
            return file
