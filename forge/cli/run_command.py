"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from forge.cli.compiling import Compiled, compile_overrides, source_hashes
from forge.cli.ladder import climb, is_ladder, ladder_of
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of
from forge.cli.reviewed import ready, reviewed_plan
from forge.engine.hosts import Cluster, check_cluster, read_cluster
from forge.errors import FitError, SpecError, UserError
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import probe_machine
from forge.plan.types import Plan
from forge.run.display import Display, make_display
from forge.run.run import FinishedRun, run_plan
from forge.spec.sweep import expand_sweep


def run(
    context: typer.Context,
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Run every combination of the values named.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came out.")] = False,
    accept_drift: Annotated[
        bool,
        typer.Option(
            "--accept-drift", help="With plan=FILE: run it although code, data or hardware changed."
        ),
    ] = False,
) -> None:
    """Train a model: forge-run +recipe=legal_tiny data.path=/my/folder

    The same command again goes on where it stopped, or says that it is done. plan=FILE carries out a plan that was
    reviewed.
    """
    tokens = overrides_of(context, overrides)
    display = make_display(sys.stderr, quiet)
    reviewed = reviewed_plan(tokens)
    if reviewed is None and accept_drift:
        raise SpecError("command line: --accept-drift: goes with plan=FILE: drop it, or name a plan")
    if reviewed is not None and multirun:
        raise SpecError("command line: --multirun: a plan is one run: drop it")
    if reviewed is not None:
        plan, drift = ready(reviewed.file, accept_drift)
        cluster = _cluster(plan, reviewed.hostfile, reviewed.remote_shell)
        _carry_out(plan, reviewed.output_dir, display, quiet, cluster, drift)
        return
    points = [list(point) for point in expand_sweep(tokens)] if multirun else [tokens]
    if multirun and len(points) == 1 and _climb(points[0], display, quiet):
        return
    _run_points(points, compile_points(points), display, quiet)


def _run_points(
    points: list[list[str]], compiled: list[Compiled], display: Display, quiet: bool
) -> list[FinishedRun]:
    finished = []
    for number, point in enumerate(compiled, 1):
        show_notes(point.notes)
        if len(compiled) > 1:
            display.line(f"run {number} of {len(compiled)}: {' '.join(points[number - 1])}")
        cluster = _cluster(point.plan, point.spec.values["hostfile"], point.spec.values["remote_shell"])
        finished.append(
            _carry_out(point.plan, Path(point.spec.values["output_dir"]), display, quiet, cluster)
        )
    return finished


def _climb(overrides: list[str], display: Display, quiet: bool) -> bool:
    """Carry out the ladder of a command line that asks for one; return whether it does.

    The ladder is shown on any machine; its runs need the hardware that the run is for.
    """
    machine = probe_machine()
    run = compile_overrides(overrides, machine, needs_data=False)
    if not is_ladder(run):
        return False
    from forge.cli.ladder_view import show_ladder, show_outcome

    ladder = ladder_of(run, machine)
    show_ladder(ladder, run.plan)

    def run_points(points: Sequence[list[str]]) -> list[dict[str, Any]]:
        lines = [list(point) for point in points]
        return [done.summary for done in _run_points(lines, compile_points(lines), display, quiet)]

    outcome, file = climb(overrides, run, ladder, run_points, Path(run.spec.values["output_dir"]))
    show_outcome(outcome, run.plan)
    display.line(f"written to {file}")
    return True


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
            check_carried_out(one.plan.layout)
            _cluster(one.plan, one.spec.values["hostfile"], one.spec.values["remote_shell"])
            compiled.append(one)
        except (SpecError, FitError) as error:
            errors.append(error)
    if errors:
        lines = dict.fromkeys(line for error in errors for line in error.lines)
        kind = SpecError if any(isinstance(error, SpecError) for error in errors) else FitError
        raise kind(*lines)
    return compiled


def _cluster(plan: Plan, hostfile: str | None, remote_shell: str) -> Cluster | None:
    cluster = None if hostfile is None else read_cluster(Path(hostfile), remote_shell)
    check_cluster(cluster, plan.layout)
    return cluster


def _carry_out(
    plan: Plan,
    output_dir: Path,
    display: Display,
    quiet: bool,
    cluster: Cluster | None,
    drift: tuple[str, ...] = (),
) -> FinishedRun:
    finished = run_plan(plan, output_dir.expanduser(), display, source_hashes(), drift, cluster)
    if finished.made or not quiet:
        from forge.cli.run_view import show_run

        show_run(plan, finished)
    return finished
