"""Signs of life: each worker says at every step where it is; the parent sees by it that workers hang.

logs/beat-rank<r>.json is overwritten in place. This module is the parent's too and imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STACKS_SIGNAL = signal.SIGUSR2
"""Makes a worker write the stacks of its threads to its log."""

_LINE_BYTES = 160
_STEPS_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Patience:
    """How long workers may show nothing before they count as hung."""

    medians: float = 20.0
    """Of a step's usual time."""
    at_least_s: float = 60.0
    outside_steps_s: float = 1_800.0
    """While starting, compiling the first step, saving, or verifying what was saved: disks may be slow."""


class Heartbeat:
    """A worker's end: says where it is."""

    def __init__(self, logs: Path, rank: int) -> None:
        self._file = os.open(beat_file(logs, rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        self._times_s: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        self._last_s: float | None = None
        self._beats = 0
        self.rest(0, "start")

    def step(self, step: int) -> None:
        """Say that `step` is done and the next begins."""
        now_s = time.monotonic()
        if self._last_s is not None:
            self._times_s.append(now_s - self._last_s)
        self._last_s = now_s
        self._write(step, "step" if self._times_s else "first step")

    def rest(self, step: int, doing: str) -> None:
        """Say that something other than steps takes time, or, `doing` 'step', that steps go on after it."""
        self._last_s = None if doing != "step" else time.monotonic()
        self._write(step, doing if doing != "step" or self._times_s else "first step")

    def _write(self, step: int, doing: str) -> None:
        content = {
            "beat": self._beats,
            "pid": os.getpid(),
            "step": step,
            "doing": doing,
            "step_time_s": statistics.median(self._times_s) if self._times_s else None,
        }
        self._beats += 1
        os.pwrite(self._file, json.dumps(content).ljust(_LINE_BYTES).encode() + b"\n", 0)


def beat_file(logs: Path, rank: int) -> Path:
    """Return where a rank's signs of life are."""
    return logs / f"beat-rank{rank}.json"


def clear_beats(logs: Path) -> None:
    """Remove those of an earlier attempt."""
    for path in logs.glob("beat-rank*.json"):
        path.unlink()


def read_beats(logs: Path) -> dict[int, dict[str, Any]]:
    """Return the last sign of life of each rank that has given one."""
    beats = {}
    for path in logs.glob("beat-rank*.json"):
        try:
            beats[int(path.stem.removeprefix("beat-rank"))] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # just being written
            continue
    return beats


class Watch:
    """The parent's end: how long each worker has shown nothing, by the parent's own clock.

    Machines have clocks of their own; a monotonic one stands still while the parent's sleeps.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._seen: dict[int, tuple[dict[str, Any], float]] = {}
        """Each rank's last sign of life, and when it was first seen."""

    def silence(self, beats: dict[int, dict[str, Any]], now_s: float) -> tuple[int, float] | None:
        """Return (rank, seconds) of the worker that has shown nothing for longest, where that is too long."""
        late = []
        for rank, beat in beats.items():
            known, since_s = self._seen.get(rank, (None, now_s))
            if beat != known:
                self._seen[rank] = beat, now_s
                continue
            allowed_s = self._patience.outside_steps_s
            if beat["doing"] == "step":
                allowed_s = max(self._patience.medians * beat["step_time_s"], self._patience.at_least_s)
            if now_s - since_s > allowed_s:
                late.append((now_s - since_s, rank))
        return (max(late)[1], max(late)[0]) if late else None
