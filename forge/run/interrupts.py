"""Signals that ask a process to stop, as interrupts."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1 came. Whatever an interrupt unwinds, this unwinds in the same way."""


def listen() -> None:
    """Turn SIGTERM, and SIGUSR1, by which Slurm says that time is running out, into `Terminated` from now on.

    One of them after the other is the same wish, passed on by two: Slurm signals all processes of a job that is
    cancelled, and so does the script that started this one. The same one again is a second wish.
    """
    came: set[int] = set()

    def terminate(number: int, frame: FrameType | None) -> None:
        is_passed_on = bool(came) and number not in came
        came.add(number)
        if not is_passed_on:
            raise Terminated

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, terminate)


def interrupting_signal(interrupt: KeyboardInterrupt) -> int:
    """Return the signal behind an interrupt: SIGINT is the class itself, SIGTERM a subclass."""
    return signal.SIGINT if type(interrupt) is KeyboardInterrupt else signal.SIGTERM
