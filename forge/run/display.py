"""How a run shows itself: a bar with rate and time left on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from forge.progress import Progress
from forge.run.quantities import amount, duration

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_EVERY_S = 60.0


class StageDisplay(Progress, Protocol):
    """Shows one stage while it works."""

    def close(self) -> None:
        """Take the bar away."""


class Display(Protocol):
    """Shows a run."""

    def line(self, text: str) -> None:
        """Say one line."""

    def detail(self, text: str) -> None:
        """Say one line to a user who asked for more."""

    def stage(self, name: str) -> StageDisplay:
        """Begin to show a stage."""


def make_display(stream: TextIO, quiet: bool, verbose: bool = False) -> Display:
    """Return the display that suits `stream`: a quiet one says nothing, a verbose one details as well."""
    if quiet or not stream.isatty():
        return LineDisplay(stream, quiet, verbose)
    return BarDisplay(stream, verbose)


@contextmanager
def shown_alone(name: str) -> Iterator[StageDisplay]:
    """Give the display of one stage that a command carries out by itself, on standard error."""
    stage = make_display(sys.stderr, quiet=False).stage(name)
    try:
        yield stage
    finally:
        stage.close()


class LineDisplay:
    """Plain lines, for logs and pipes."""

    def __init__(self, stream: TextIO, quiet: bool, verbose: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._verbose = verbose

    def line(self, text: str) -> None:
        """Say one line."""
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    def detail(self, text: str) -> None:
        """Say one line where more was asked for."""
        if self._verbose:
            with suppress(OSError):  # no run fails for a detail: its log may lie on a full disk
                self.line(text)

    def stage(self, name: str) -> StageDisplay:
        """Begin to show a stage."""
        return _LineStage(name, self)


class _LineStage:
    def __init__(self, name: str, display: LineDisplay) -> None:
        self._name = name
        self._display = display
        self._said_s = time.monotonic()
        self._status = ""
        self.start(0.0, "")

    def start(self, total: float, unit: str) -> None:
        self._total, self._unit, self._done, self._before = total, unit, 0.0, 0.0
        self._began_s = time.monotonic()

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        now_s = time.monotonic()
        if now_s - self._said_s >= LINE_EVERY_S and self._total:
            self._said_s = now_s
            self._display.line(f"{self._name}: {', '.join(self._state(now_s))}")

    def resume(self, amount: float) -> None:
        self._done += amount
        self._before += amount

    def status(self, text: str) -> None:
        self._status = text

    def note(self, line: str) -> None:
        self._display.line(_of_stage(self._name, line))

    def detail(self, line: str) -> None:
        self._display.detail(_of_stage(self._name, line))

    def close(self) -> None:
        pass

    def _state(self, now_s: float) -> list[str]:
        return state(self._done, self._before, self._total, self._unit, now_s - self._began_s, self._status)


class BarDisplay:
    """One bar a stage, on a terminal."""

    def __init__(self, stream: TextIO, verbose: bool = False) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False)
        self._verbose = verbose

    def line(self, text: str) -> None:
        """Say one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        """Say one line where more was asked for."""
        if self._verbose:
            self._console.print(text, markup=False, style="dim", soft_wrap=True)

    def stage(self, name: str) -> StageDisplay:
        """Begin to show a stage."""
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        bars = Bars(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            console=self._console,
            transient=True,
            refresh_per_second=5,
        )
        return _BarStage(name, bars, self)


class _BarStage:
    def __init__(self, name: str, bars: Bars, display: BarDisplay) -> None:
        self._name = name
        self._display = display
        self._bars = bars
        self._task = bars.add_task(name, total=None, state="")
        self._unit = self._status = ""
        self._done = self._before = self._total = 0.0
        self._began_s = time.monotonic()
        bars.start()

    def start(self, total: float, unit: str) -> None:
        self._unit, self._done, self._before, self._total = unit, 0.0, 0.0, total
        self._began_s = time.monotonic()
        self._bars.reset(self._task, total=total or None, state=self._state())

    def advance(self, amount: float = 1.0) -> None:
        self._done += amount
        self._bars.update(self._task, completed=self._done, state=self._state())

    def resume(self, amount: float) -> None:
        self._before += amount
        self.advance(amount)

    def status(self, text: str) -> None:
        self._status = text
        self._bars.update(self._task, state=self._state())

    def note(self, line: str) -> None:
        self._bars.console.print(_of_stage(self._name, line), markup=False, style="dim", soft_wrap=True)

    def detail(self, line: str) -> None:
        self._display.detail(_of_stage(self._name, line))

    def close(self) -> None:
        self._bars.stop()

    def _state(self) -> str:
        elapsed_s = time.monotonic() - self._began_s
        return "  ".join(state(self._done, self._before, self._total, self._unit, elapsed_s, self._status))


def _of_stage(name: str, line: str) -> str:
    return line if line.startswith(f"{name}: ") else f"{name}: {line}"


def state(done: float, before: float, total: float, unit: str, elapsed_s: float, status: str) -> list[str]:
    """Return how far a stage is, how fast it goes and how long it will take, in words.

    Args:
        done: units done, of `total`.
        before: of them, by an earlier run.
        total: units there are.
        unit: their name.
        elapsed_s: since this run began with them.
        status: what is measured right now.
    """
    parts = [f"{amount(done, unit)} of {amount(total, unit)} {unit}"]
    if done > before and elapsed_s > 1:
        rate = (done - before) / elapsed_s
        parts += [f"{amount(rate, unit)}/s", f"{duration((total - done) / rate)} left"]
    return [*parts, status] if status else parts
