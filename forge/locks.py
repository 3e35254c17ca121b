"""One process at a time: a lock file that the kernel frees with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_POLL_S = 0.1


class Busy(Exception):
    """Another process still holds the lock."""


def take_lock(path: Path, patience_s: float, on_wait: Callable[[], None] | None = None) -> IO[str]:
    """Take the lock file `path` for as long as the returned file stays open.

    Args:
        path: made where it is missing.
        patience_s: how long to wait; `float('inf')` waits for ever.
        on_wait: called once, when another process holds the lock.

    Raises:
        Busy: another process still holds it after `patience_s`.
    """
    give_up_s = time.monotonic() + patience_s
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() >= give_up_s:
                raise Busy(path) from None
            if on_wait is not None:
                on_wait()
                on_wait = None
            time.sleep(_POLL_S)
            continue
        if _is_at(file, path):
            return file
        file.close()  # whoever held it before removed it: a lock that no one else can see guards nothing


def is_held(path: Path) -> bool:
    """True where another process holds the lock now. To look, it is shared for a moment."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def temporary_lock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `path` for the length of a block, however long it takes to get it, and remove it after."""
    with take_lock(path, float("inf"), on_wait):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(file.fileno())
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
