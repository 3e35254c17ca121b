"""Carry out a ladder: small models first, then larger ones at the learning rate found, then what they predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forge.cli.compiling import Compiled, compile_overrides
from forge.cli.ladder import ladder_of
from forge.cli.ladder_view import show_ladder, show_outcome
from forge.cli.reported import write_sweep_page
from forge.cli.sending import refuse_sent_off
from forge.plan.ladder import Ladder, ladder_name, with_changes
from forge.plan.machine import probe_machine
from forge.report.ladder_page import write_ladder_report
from forge.report.run_page import REPORT
from forge.run.display import Display
from forge.run.ladder import Outcome, Point, changes_of, conclude, first_points, next_points, write_ladder

RunPoints = Callable[[str, Sequence[list[str]]], Sequence[dict[str, Any]]]
"""Carries out command lines as a sweep of a name, and returns the summary of each run."""


def carry_out_ladder(overrides: list[str], run_points: RunPoints, display: Display) -> None:
    """Show the ladder of a command line, carry it out, show what came of it.

    It is shown on any machine; its runs need the hardware that the run is for.
    """
    machine = probe_machine()
    run = compile_overrides(overrides, machine, needs_data=False)
    ladder = ladder_of(run, machine)
    show_ladder(ladder, run.plan)
    refuse_sent_off(run, "sweep=ladder: the larger rungs wait for the smaller")
    outcome, file = climb(overrides, run, ladder, run_points, Path(run.spec.values["output_dir"]))
    show_outcome(outcome, run.plan)
    write_sweep_page(write_ladder_report, file.parent)
    display.line(f"written to {file}; report: {file.parent / REPORT}")


def climb(
    overrides: Sequence[str], compiled: Compiled, ladder: Ladder, run_points: RunPoints, output_dir: Path
) -> tuple[Outcome, Path]:
    """Carry out a ladder; return what came of it and the file that keeps it.

    Args:
        overrides: the command line of the run.
        compiled: that command line, compiled.
        ladder: of the run.
        run_points: carries out the runs that it is given.
        output_dir: where ladders/ is written.
    """
    losses: dict[Point, float] = {}
    name = ladder_name(compiled.plan.name)
    folders: dict[Point, str] = {}

    def measure(points: Sequence[Point]) -> None:
        lines = [with_changes(overrides, changes_of(ladder, point)) for point in points]
        for point, summary in zip(points, run_points(name, lines), strict=True):
            losses[point] = summary["evaluation"]["held_out_loss_nats_per_token"]
            folders[point] = f"{summary['name']}-{summary['plan_id']}"

    measure(first_points(ladder))
    measure(next_points(ladder, losses))
    outcome = conclude(ladder, losses, compiled.plan.seed)
    return outcome, write_ladder(output_dir, compiled.plan, ladder, losses, folders, outcome)
