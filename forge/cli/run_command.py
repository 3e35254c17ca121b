"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.cli.compiling import Compiled, compile_overrides, source_hashes
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of
from forge.cli.reported import reported
from forge.cli.reviewed import ready, reviewed_plan
from forge.engine.hosts import Cluster, check_cluster, read_cluster
from forge.errors import FitError, SpecError, UserError
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import probe_machine
from forge.plan.types import Plan
from forge.run.display import Display, make_display
from forge.run.origins import record_origins
from forge.run.run import run_folder, run_plan
from forge.spec.show import origins_to_json
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
    compiled = compile_points(points)
    for number, point in enumerate(compiled, 1):
        show_notes(point.notes)
        if len(compiled) > 1:
            display.line(f"run {number} of {len(compiled)}: {' '.join(points[number - 1])}")
        cluster = _cluster(point.plan, point.spec.values["hostfile"], point.spec.values["remote_shell"])
        output_dir = Path(point.spec.values["output_dir"])
        record_origins(run_folder(point.plan, output_dir.expanduser()), origins_to_json(point.spec))
        _carry_out(point.plan, output_dir, display, quiet, cluster)


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
) -> None:
    output_dir = output_dir.expanduser()
    with reported(run_folder(plan, output_dir)):
        finished = run_plan(plan, output_dir, display, source_hashes(), drift, cluster)
    if finished.made or not quiet:
        from forge.cli.run_view import show_run

        show_run(plan, finished)
