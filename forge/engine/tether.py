"""No process outlives the one that started it, however that one dies."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def die_with_input() -> None:
    """Have this process killed when its standard input ends: the tether of one whose parent is on another machine."""
    threading.Thread(target=_wait_for_the_end, name="tether", daemon=True).start()


def _wait_for_the_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when `parent_pid`, its parent, ends; Linux only, elsewhere nothing happens.

    A forge-run killed with -9 can't stop its children. Without this they would train on and the same command,
    started again, would write into the same folder.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)
