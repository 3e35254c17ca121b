"""Which signals ask a process to stop, and which only pass on what was asked before."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from forge.run.interrupts import Terminated, listen


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def asks(number: int) -> bool:
    """Return whether a signal to this process asks it to stop."""
    try:
        os.kill(os.getpid(), number)
    except Terminated:
        return True
    return False


@pytest.mark.parametrize(
    ("numbers", "asked"),
    [
        ([signal.SIGTERM, signal.SIGTERM], [True, True]),
        ([signal.SIGUSR1, signal.SIGUSR1], [True, True]),
        ([signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM], [True, False, True]),
        ([signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM], [True, False, True]),
    ],
)
def test_the_same_signal_again_is_a_second_wish_and_the_other_one_is_not(
    numbers: list[int], asked: list[bool]
) -> None:
    assert [asks(number) for number in numbers] == asked
