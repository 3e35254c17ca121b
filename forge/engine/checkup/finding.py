"""What a check of the machine found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "advice", "fault"]
"""Advice: a run goes, but slower, or not every plan does. Fault: a run would fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    """`shared memory`."""
    state: State
    found: str
    remedy: str = ""
    """What to do; empty where all is well."""


def good(what: str, found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(what, "good", found)


def advice(what: str, found: str, remedy: str) -> Finding:
    """Return a finding that a run survives."""
    return Finding(what, "advice", found, remedy)


def fault(what: str, found: str, remedy: str) -> Finding:
    """Return a finding that a run does not survive."""
    return Finding(what, "fault", found, remedy)
