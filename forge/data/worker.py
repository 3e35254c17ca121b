"""A process that reads batches of files and may die of it: `python -m forge.data.worker`.

    in    one JSON object a line: a batch, and where to write its pack
    out   {"unit": [place, inside]} before each file, then {"done": true}; or {"memory": ...}, {"disk": ...}

Each file has a bound of memory, of processor time and of time; the kernel ends the process at the two last.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

from forge.data.without_pandas import shut_out_pandas

CPU_LIMIT_S = 60.0
CPU_LIMIT_S_PER_MB = 2.0
"""Of processor time for a file, and more for each megabyte of it: the slowest reader takes a tenth of this."""
WALL_LIMIT_S = 600.0
WALL_LIMIT_S_PER_MB = 20.0
"""Of time: a disk may be slow, and the machine busy."""
MEMORY_BYTES = 2 * 1024**3
"""Address space a file may take beyond what the process has."""
PAGE_BYTES = resource.getpagesize()


def main() -> None:
    """Read batches until the input ends."""
    # What a library prints must not get between the lines of the protocol.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    shut_out_pandas()

    import pyarrow as pa

    pa.set_cpu_count(1)
    for line in sys.stdin:
        _work(json.loads(line), out)


def _work(order: dict[str, Any], out: TextIO) -> None:
    from forge.data.batches import UnitCounts, batch_from_json, read_batch
    from forge.data.packs import write_pack
    from forge.data.reading import OutOfMemory

    def on_unit(place: int, inside: str, size_bytes: int) -> None:
        _say(out, {"unit": [place, inside]})
        _limit(size_bytes, order["limits"])

    units: list[UnitCounts] = []
    failed = {(place, inside): (reason, detail) for place, inside, reason, detail in order["failed"]}
    batch = batch_from_json(order["batch"])
    tables = read_batch(batch, order["parameters"], on_unit, failed, True, units)
    try:
        write_pack(Path(order["pack"]), tables, batch, units)
    except (OutOfMemory, MemoryError):
        _say(out, {"memory": True})
        os._exit(1)  # a heap that was full is not what the next file should start with
    except OSError as error:
        _say(out, {"disk": [error.errno, error.strerror or str(error)]})
        return
    finally:
        _limit(None, order["limits"])
    _say(out, {"done": True})


def _limit(size_bytes: int | None, limits: dict[str, float]) -> None:
    """Start the clocks of a file of so many bytes; None stops them."""
    if size_bytes is None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    signal.setitimer(signal.ITIMER_PROF, limits["cpu_s"] + CPU_LIMIT_S_PER_MB * size_bytes / 1e6)
    signal.setitimer(signal.ITIMER_REAL, limits["wall_s"] + WALL_LIMIT_S_PER_MB * size_bytes / 1e6)
    if (statm := _statm()) is not None:
        now_bytes = int(os.pread(statm, 64, 0).split()[0]) * PAGE_BYTES
        _, most_bytes = resource.getrlimit(resource.RLIMIT_AS)
        own_bytes = now_bytes + int(limits["memory_bytes"])
        if most_bytes == resource.RLIM_INFINITY or own_bytes < most_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (own_bytes, most_bytes))


@functools.cache
def _statm() -> int | None:
    """Return an open file that says how much address space this process has; None where there is none.

    Only Linux has it, and only Linux keeps to a bound of address space.
    """
    try:
        return os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None


def _say(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
