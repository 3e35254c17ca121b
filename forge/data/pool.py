"""Processes that read batches of files, replaced when a file brings one down. Results come in order."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge.data.batches import Batch, UnitCounts, batch_to_json
from forge.data.packs import find_pack, pack_name, pack_rows, pack_units
from forge.data.worker import CPU_LIMIT_S, MEMORY_BYTES, WALL_LIMIT_S
from forge.resources import PACKAGE_DIR

AHEAD = 3
"""Batches in the making for each process: rows that wait for their turn lie on disk."""
MAX_DEATHS = 4
"""Processes one file may bring down, each in another of the files inside it, before it is set aside as a whole."""

COMMAND = [sys.executable, "-P", "-m", "forge.data.worker"]
"""-P: nothing is imported from the folder the user happens to be in."""
ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
"""One thread, and no address space taken in advance: what a file may take is counted by it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take in a worker."""

    cpu_s: float = CPU_LIMIT_S
    wall_s: float = WALL_LIMIT_S
    memory_bytes: int = MEMORY_BYTES


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of a batch."""

    batch: Batch
    units: list[UnitCounts]
    tables: Iterable[pa.Table]
    found: bool
    """True when an earlier run read it."""


@dataclass(slots=True)
class _Job:
    batch: Batch
    pack: Path
    failed: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    unit: tuple[int, str] | None = None
    units: list[UnitCounts] | None = None
    found: bool = False
    """True when an earlier run read it."""


class _Worker:
    """One process."""

    def __init__(self, errors: Path) -> None:
        self.job: _Job | None = None
        self._errors = errors
        path = os.pathsep.join(filter(None, (str(PACKAGE_DIR.parent), os.environ.get("PYTHONPATH"))))
        with errors.open("wb") as file:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ | ENVIRONMENT | {"PYTHONPATH": path},
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self.out = self._process.stdin, self._process.stdout
        self._waiting = b""

    def give(self, job: _Job, order: dict[str, Any]) -> None:
        """Start on a job."""
        self.job = job
        try:
            self._to.write(json.dumps(order).encode() + b"\n")
            self._to.flush()
        except BrokenPipeError:
            pass  # it died; its output ends, which is where that is dealt with

    def said(self) -> list[dict[str, Any]] | None:
        """Return what it said since; None when it is dead."""
        block = os.read(self.out.fileno(), 1 << 16)
        if not block:
            return None
        *lines, self._waiting = (self._waiting + block).split(b"\n")
        return [json.loads(line) for line in lines]

    def ending(self) -> tuple[str, str]:
        """Return how it died, as a reason and a detail.

        Raises:
            RuntimeError: it ended by itself, which is a fault of forge and not of a file.
        """
        status = self._process.wait()
        if status >= 0:
            raise RuntimeError(
                f"a reading process ended with status {status}: {self._errors.read_text(errors='replace')[-2_000:]}"
            )
        if -status in (signal.SIGPROF, signal.SIGALRM, signal.SIGXCPU):
            return "time limit", "reading it takes longer than a file of its size may"
        if -status == signal.SIGKILL:
            return "memory limit", "the process that read it was killed, as is done when memory runs out"
        return "reader crashed", f"the process that read it ended by {signal.Signals(-status).name}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._to.close()
        self.out.close()


class Pool:
    """Up to `workers` processes; a context manager. They start when there is work for them."""

    def __init__(
        self, workers: int, parameters: Mapping[str, Any], folder: Path, keep: bool, limits: Limits
    ) -> None:
        """Args: `parameters` as `read_batch` has them.

        folder: where rows wait, a pack for each batch.
        keep: leave the packs there. Those that are there already are not read again.
        """
        self._size = workers
        self._parameters = dict(parameters)
        self._limits = limits
        self._folder, self._keep = folder, keep
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._started = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.close()
        self._selector.close()

    def read(self, batches: Iterable[Batch]) -> Iterator[Read]:
        """Yield what was read of each batch; its rows must be taken before the next.

        Raises:
            OSError: the rows cannot be written.
        """
        coming = iter(batches)
        to_do: deque[_Job] = deque()
        order: deque[_Job] = deque()
        while True:
            while len(order) < AHEAD * self._size and (batch := next(coming, None)) is not None:
                job = _Job(batch, self._folder / f"{pack_name(batch)}.pack")
                job.units = find_pack(job.pack)
                job.found = job.units is not None
                if not job.found:
                    to_do.append(job)
                order.append(job)
            if not order:
                return
            self._employ(to_do)
            if (units := order[0].units) is not None:
                job = order.popleft()
                yield Read(job.batch, units, pack_rows(job.pack), job.found)
                if not self._keep:
                    job.pack.unlink(missing_ok=True)
                continue
            for key, _ in self._selector.select():
                self._listen(key.data, to_do)

    def _employ(self, to_do: deque[_Job]) -> None:
        while to_do:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None:
                if len(self._workers) == self._size:
                    return
                self._started += 1
                idle = _Worker(self._folder / f"{os.getpid()}-{self._started}.log")
                self._workers.append(idle)
                self._selector.register(idle.out, selectors.EVENT_READ, idle)
            job = to_do.popleft()
            job.unit = None
            failed = [[place, inside, *why] for (place, inside), why in job.failed.items()]
            idle.give(
                job,
                {
                    "batch": batch_to_json(job.batch),
                    "pack": str(job.pack),
                    "failed": failed,
                    "parameters": self._parameters,
                    "limits": asdict(self._limits),
                },
            )

    def _listen(self, worker: _Worker, to_do: deque[_Job]) -> None:
        messages = worker.said()
        job = worker.job
        if messages is None:
            self._bury(worker, job, worker.ending(), to_do)
            return
        assert job is not None
        for message in messages:
            if "unit" in message:
                place, inside = message["unit"]
                job.unit = (place, inside)
            elif "done" in message:
                job.units = pack_units(job.pack)
                worker.job = None
            elif "disk" in message:
                raise OSError(*message["disk"], str(job.pack))
            else:
                megabytes = self._limits.memory_bytes // 1_000_000
                why = ("memory limit", f"reading it takes more than {megabytes} MB")
                self._bury(worker, job, why, to_do)
                return

    def _bury(self, worker: _Worker, job: _Job | None, why: tuple[str, str], to_do: deque[_Job]) -> None:
        """Remove a dead worker, and have its batch read again without what killed it."""
        self._selector.unregister(worker.out)
        self._workers.remove(worker)
        worker.close()
        if job is None:
            return
        if job.unit is None:
            raise RuntimeError(f"a reading process died before it read anything: {why[1]}")
        place, _ = job.unit
        deaths = sum(at == place for at, _ in job.failed)
        job.failed[(place, "") if deaths + 1 >= MAX_DEATHS else job.unit] = why
        to_do.appendleft(job)
