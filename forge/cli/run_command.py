"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.cli.compiling import Compiled, compile_overrides, source_hashes
from forge.cli.options import Overrides, overrides_of
from forge.errors import FitError, SpecError, UserError
from forge.plan.hardware import check_runnable
from forge.plan.machine import probe_machine
from forge.run.display import make_display
from forge.run.run import run_plan
from forge.spec.sweep import expand_sweep


def run(
    context: typer.Context,
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Run every combination of the values named.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came out.")] = False,
) -> None:
    """Train a model: forge-run +recipe=legal_tiny data.path=/my/folder

    The same command again goes on where it stopped, or says that it is done.
    """
    tokens = overrides_of(context, overrides)
    points = [list(point) for point in expand_sweep(tokens)] if multirun else [tokens]
    compiled = compile_points(points)
    display = make_display(sys.stderr, quiet)
    for number, point in enumerate(compiled, 1):
        for note in point.notes:
            print(f"note: {note}", file=sys.stderr)
        if len(compiled) > 1:
            display.line(f"run {number} of {len(compiled)}: {' '.join(points[number - 1])}")
        output_dir = Path(point.spec.values["output_dir"]).expanduser()
        finished = run_plan(point.plan, output_dir, display, source_hashes())
        if finished.made or not quiet:
            from forge.cli.run_view import show_run

            show_run(point.plan, finished)


def compile_points(points: list[list[str]]) -> list[Compiled]:
    """Compile every point before anything starts.

    Raises:
        SpecError: with the lines of every point that is wrong, each line once.
        FitError: a plan does not fit its hardware, or this machine is not that hardware.
    """
    machine = probe_machine()
    compiled: list[Compiled] = []
    errors: list[UserError] = []
    for point in points:
        try:
            one = compile_overrides(point, machine, needs_data=True)
            check_runnable(one.hardware, machine)
            compiled.append(one)
        except (SpecError, FitError) as error:
            errors.append(error)
    if errors:
        lines = dict.fromkeys(line for error in errors for line in error.lines)
        kind = SpecError if any(isinstance(error, SpecError) for error in errors) else FitError
        raise kind(*lines)
    return compiled
