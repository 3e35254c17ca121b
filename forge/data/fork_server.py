"""The process that workers are forked from: it has no threads, and has loaded what work on text needs.

It takes most of a second to start, and one core: whoever knows that there will be work says so before there is. So does
what this process itself needs next.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import threading
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

ALONE_BYTES = 8 * 1024 * 1024
"""Below it starting workers costs more than they save."""

AFTER_READING = ("forge.data.corpus", "forge.data.tokens")


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def fork_context() -> ForkServerContext:
    """Return what starts processes that are forked from it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forge.data.preload"])
    return context


def start_ahead(total_bytes: int) -> None:
    """Start it where `total_bytes` of text will need workers, and go on meanwhile."""
    if total_bytes > ALONE_BYTES and core_count() > 1:
        fork_context()
        forkserver.ensure_running()


def load_ahead(total_bytes: int) -> None:
    """Load what comes after reading, while others read `total_bytes` and this process waits for them."""
    if total_bytes > ALONE_BYTES:
        threading.Thread(target=lambda: [*map(importlib.import_module, AFTER_READING)]).start()
