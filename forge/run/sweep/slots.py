"""Places for runs to compute: GPUs, or turns on a CPU, each held by one process at a time.

A place is a lock file below `sweeps/slots/` that the process of a run inherits. So it stays taken as long as that
process lives, whatever becomes of the forge-run that started it, and sweeps in one output folder take turns.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from forge.locks import Busy, take_lock
from forge.plan.types import LayoutPlan


@dataclass(frozen=True, slots=True)
class Held:
    """Places that are taken, as long as a process has their files open."""

    files: tuple[IO[str], ...]
    environment: dict[str, str]
    """What confines a run to them."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """For the process that is to hold them."""
        return tuple(file.fileno() for file in self.files)

    def close(self) -> None:
        """Leave them to that process, or free them where there is none."""
        for file in self.files:
            file.close()


@dataclass(frozen=True, slots=True)
class Slots:
    """The places of this machine."""

    folder: Path
    gpus: tuple[str, ...]
    """As CUDA_VISIBLE_DEVICES names them."""
    parallel_runs: int | None = None
    """Runs side by side on a CPU; None: one."""

    def take(self, layout: LayoutPlan) -> Held | None:
        """Return places for a run of `layout`, or None where there are not enough free ones now.

        Raises:
            OSError: a lock file cannot be made.
        """
        if layout.device == "cpu":
            turns = [f"cpu-{turn}" for turn in range(self.parallel_runs or 1)]
            files = self._lock(turns, 1)
            return None if files is None else Held(files, {})
        whole = layout.nodes > 1 or layout.processes_per_node >= len(self.gpus)
        files = self._lock(
            [f"gpu-{gpu}" for gpu in self.gpus], len(self.gpus) if whole else layout.processes_per_node
        )
        if files is None:
            return None
        names = [Path(file.name).stem.removeprefix("gpu-") for file in files]
        return Held(files, {} if whole else {"CUDA_VISIBLE_DEVICES": ",".join(names)})

    def _lock(self, names: Sequence[str], count: int) -> tuple[IO[str], ...] | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        files: list[IO[str]] = []
        for name in names:
            with contextlib.suppress(Busy):
                files.append(take_lock(self.folder / f"{name}.lock", patience_s=0))
            if len(files) == count:
                return tuple(files)
        for file in files:
            file.close()
        return None


def visible_gpus(count: int) -> tuple[str, ...]:
    """Return the names of this machine's `count` GPUs, as CUDA_VISIBLE_DEVICES has them or would have them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if given is None else given.split(",")
    return tuple(name.strip() for name in names)[:count]
