"""A sweep whose points are compiled, carried out with its folder held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forge.cli.compiling import source_hashes
from forge.cli.reported import write_missing_page, write_sweep_page
from forge.cli.sweep_points import distinct
from forge.cli.sweep_view import Cost, cost_line, show_table
from forge.errors import StageError
from forge.locks import Busy, take_lock
from forge.plan.machine import Machine
from forge.report.sweep_page import write_sweep_report
from forge.run.display import Display
from forge.run.run import disk_line
from forge.run.sweep.carry_out import Chooser, NoMore, State, carry_out
from forge.run.sweep.point import Infeasible, Point, is_done
from forge.run.sweep.record import Sweep, write_record, write_table
from forge.run.sweep.slots import Slots, visible_gpus

ID_HEX_DIGITS = 12
"""Of a sweep."""


@dataclass(frozen=True, slots=True)
class Work:
    """A sweep that is ready to be carried out."""

    sweep: Sweep
    settings: Mapping[str, Any]
    machine: Machine
    display: Display
    quiet: bool
    runs: int
    steps: int
    """Of all runs."""
    cost: Cost


def carry_out_work(
    work: Work, state: State, chooser: Chooser | None = None, restore: Callable[[], None] | None = None
) -> None:
    """Carry out a sweep, with its folder held, and show its runs by rank.

    Args:
        work: the sweep.
        state: its points; it is brought up to date.
        chooser: adds points, and ends runs early.
        restore: takes up what an earlier command recorded, once the folder is held.

    Raises:
        StageError: runs failed, the same sweep is being carried out, or its folder cannot be written.
        Interrupted: it was stopped; the same command goes on.
    """
    found, display = work.sweep, work.display
    slots = Slots(
        found.output_dir / "sweeps" / "slots",
        visible_gpus(len(work.machine.gpu_names)),
        work.settings["parallel_runs"],
    )
    try:
        found.folder.mkdir(parents=True, exist_ok=True)
        with take_lock(found.folder / "sweep.lock", patience_s=0):
            if restore is not None:
                restore()
            done = [point for point in distinct(state.points) if is_done(point)]
            for point in distinct(state.points):
                display.detail(f"{point.named()}: plan {point.plan.id}, {point.run_dir}")
            for line in (*_same_plans(state.points), cost_line(found, work.cost, work.runs, len(done))):
                display.line(line)
            shown = display.stage("sweep")
            try:
                shown.start(work.steps, "steps")
                shown.resume(sum(point.plan.schedule.steps for point in done))
                carry_out(
                    state,
                    slots,
                    chooser or NoMore(),
                    shown,
                    display.line,
                    lambda now: _write(found, now),
                    source_hashes(),
                )
            finally:
                shown.close()
            rows = write_record(found, state)
            table = write_table(found, rows)
            for point in distinct(state.points):
                write_missing_page(point.run_dir)
            write_sweep_page(write_sweep_report, found.folder)
    except Busy:
        raise StageError(f"{found.folder}: is being carried out by another forge-run: wait for it") from None
    except OSError as error:
        raise StageError(disk_line("sweep", error, found.output_dir)) from None
    show_table(found, rows, table, work.quiet)
    _raise_failed(state)


def _write(found: Sweep, state: State) -> None:
    write_record(found, state)


def _same_plans(points: Sequence[Point | Infeasible]) -> list[str]:
    first: dict[str, Point] = {}
    lines = []
    for point in points:
        if isinstance(point, Point) and first.setdefault(point.plan.id, point) is not point:
            lines.append(
                f"{point.named()}: is the same as run {first[point.plan.id].number}: carried out once"
            )
    return lines


def _raise_failed(state: State) -> None:
    lines = []
    for point in distinct(state.points):
        outcome = state.outcome(point.number)
        if outcome.status in ("failed", "stopped"):
            lines.append(f"{point.named()}: {outcome.status}: {'; '.join(outcome.lines)}; log {point.log}")
    if lines:
        raise StageError(*lines, "sweep: the other runs are done: the same command tries these again")
