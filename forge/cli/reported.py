"""The page that each forge-run leaves in the folder of its run, sweep or ladder, however it ended."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from forge.engine.events import read_events
from forge.run.run import DISK_ERRORS

LOG = "logs/report.log"


@contextmanager
def reported(run_dir: Path) -> Iterator[None]:
    """Write the run's report.html after what is done within, whether that succeeds or fails.

    It is left as it is where nothing happened in the run. A page that cannot be written is said in a line, and changes
    nothing of how the run ended.
    """
    from forge.report.run_page import REPORT

    events = run_dir / "events.jsonl"
    before_bytes = _size_bytes(events)
    try:
        yield
    finally:
        happened = _size_bytes(events) != before_bytes or not (run_dir / REPORT).exists()
        if happened and (run_dir / "plan.json").is_file():
            write_page(run_dir)


def write_missing_page(run_dir: Path) -> None:
    """Write the report.html of a run that a process of its own carried out, unless that was tried since its end."""
    from forge.report.run_page import REPORT

    tried = [path.stat().st_mtime_ns for path in (run_dir / REPORT, run_dir / LOG) if path.exists()]
    events = run_dir / "events.jsonl"
    if events.exists() and max(tried, default=0) < events.stat().st_mtime_ns:
        write_page(run_dir)


def _failed(run_dir: Path) -> bool:
    events, _ = read_events(run_dir / "events.jsonl")
    return not events or events[-1]["event"] != "stage_end"


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def write_page(run_dir: Path) -> None:
    """Write a run's report.html; where that fails a line says so."""
    from forge.report.run_page import write_report

    def say(error: Exception) -> bool:
        # Of a full disk the run's own end speaks.
        return not (isinstance(error, OSError) and error.errno in DISK_ERRORS and _failed(run_dir))

    _write(write_report, run_dir, run_dir / LOG, say)


def write_sweep_page(write: Callable[[Path], Path], folder: Path) -> None:
    """Write the report.html of a sweep or of a ladder; where that fails a line says so."""
    _write(write, folder, folder / "report.log", lambda error: True)


def _write(
    write: Callable[[Path], Path], folder: Path, log: Path, is_said: Callable[[Exception], bool]
) -> None:
    try:
        write(folder)
    except Exception as error:
        # Weeks of training do not end with status 1 for the sake of a page.
        try:
            with log.open("a", encoding="utf-8") as file:
                traceback.print_exception(error, file=file)
        except OSError:
            pass
        if is_said(error):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(
                f"note: the report cannot be written: {reason}: see {log}; forge report {folder}",
                file=sys.stderr,
            )
