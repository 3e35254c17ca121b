"""Being asked to stop: by a file from the parent, or by a signal that reached this worker itself."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

STOP_FILE = "stop"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""What schedulers send before they take a machine away."""


class StopRequest:
    """Whether this worker should write a checkpoint after the current step and end."""

    def __init__(self, run_dir: Path) -> None:
        self._file = run_dir / STOP_FILE
        self._signalled = False

    def listen(self) -> None:
        """Take `STOP_SIGNALS` as a request from now on."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)

    def asked(self) -> bool:
        """Return whether anyone asked."""
        return self._signalled or self._file.exists()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
