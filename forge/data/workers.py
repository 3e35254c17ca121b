"""Processes for work on text: one a core, where there is enough to do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import wait
from typing import Any, TypeVar

from forge.data.engine import LOCAL, DaskExecutor, Engine, dask_executor, lost_workers, use_one_thread
from forge.data.fork_server import ALONE_BYTES, core_count, fork_context
from forge.errors import MachineError

Item = TypeVar("Item")

WAITING = 3
"""Tasks in hand for each core: none of them idle, and little in memory."""


def make_pool(
    workers: int | None, total_bytes: int, engine: Engine = LOCAL
) -> AbstractContextManager[Executor | None]:
    """Return a pool of `workers` processes (None: all cores), or None where one process does it as well.

    Raises:
        StageError: the engine cannot be had.
    """
    count = workers or core_count()
    if engine.name == "dask":
        return dask_executor(engine, count)
    if count == 1 or (workers is None and total_bytes <= ALONE_BYTES):
        return nullcontext(None)
    return ProcessPoolExecutor(count, mp_context=fork_context(), initializer=_start)


def pool_width(pool: Executor) -> int:
    """Return how many tasks run at a time."""
    return pool.width if isinstance(pool, DaskExecutor) else core_count()


def map_in_order(
    pool: Executor,
    work: Callable[..., Any],
    items: Iterable[Item],
    arguments: Callable[[Item], tuple[Any, ...]],
) -> Iterator[tuple[Item, Any]]:
    """Yield each item with what `work` makes of it, in order, a few at a time in hand.

    Raises:
        MachineError: a worker was killed.
    """
    waiting: deque[tuple[Item, Future[Any]]] = deque()
    gone: tuple[type[BaseException], ...] = (BrokenProcessPool, *lost_workers())
    limit = WAITING * pool_width(pool)
    try:
        for item in items:
            waiting.append((item, pool.submit(work, *arguments(item))))
            if len(waiting) >= limit:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except gone:
        raise MachineError(killed()) from None
    finally:
        for _, future in waiting:
            future.cancel()


def killed() -> str:
    """Return what to say when a worker is gone."""
    return "data: a worker was killed, most often for want of memory: free some, or split large documents"


def _start() -> None:
    # Ctrl-C is the parent's to answer; and there is a worker for each core already.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_one_thread()


def _end_with_parent() -> None:
    """End this process when the one that gave it work is gone: killed, it could not say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
