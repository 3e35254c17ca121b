"""How a stage says how far it is. Stages depend on this protocol; `forge.run` decides where it is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one stage."""

    def start(self, total: float, unit: str) -> None:
        """Begin a phase of `total` units (`unit` in the plural: 'documents', 'bytes', 'steps')."""

    def advance(self, amount: float = 1.0) -> None:
        """Report that `amount` more units are done."""

    def resume(self, amount: float) -> None:
        """Report that `amount` units were done by an earlier run: they count, and say nothing of the rate."""

    def status(self, text: str) -> None:
        """Show what is measured right now ('loss 3.21'); the next text takes its place."""

    def note(self, line: str) -> None:
        """Say one line to the user and the log."""

    def detail(self, line: str) -> None:
        """Say one line to a user who asked for more."""


class SilentProgress:
    """A `Progress` that shows nothing; for tests and for library use."""

    def start(self, total: float, unit: str) -> None:
        """Ignore."""

    def advance(self, amount: float = 1.0) -> None:
        """Ignore."""

    def resume(self, amount: float) -> None:
        """Ignore."""

    def status(self, text: str) -> None:
        """Ignore."""

    def note(self, line: str) -> None:
        """Ignore."""

    def detail(self, line: str) -> None:
        """Ignore."""
