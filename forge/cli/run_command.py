"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from forge.cli.compiling import Compiled, compile_overrides, source_hashes
from forge.cli.ladder import is_ladder
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of
from forge.cli.reviewed import ready, reviewed_plan
from forge.cli.sending import SENT_OFF, check_target, refuse_dry_run, send_off, sent_off
from forge.engine.hosts import Cluster, check_cluster, read_cluster
from forge.errors import FitError, SpecError, UserError
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import Machine, probe_machine
from forge.plan.types import Plan, load_plan
from forge.run.display import Display, make_display
from forge.run.run import FinishedRun, run_plan
from forge.spec.locate import located
from forge.spec.sweep import expand_sweep


def run(
    context: typer.Context,
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Run every combination of the values named.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came out.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="With launch=slurm or kubernetes: write what would be handed over."),
    ] = False,
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
        check_target(reviewed.launch["target"], reviewed.hostfile)
    if reviewed is not None and reviewed.launch["target"] in SENT_OFF:
        send_off([load_plan(reviewed.file)], reviewed.launch, reviewed.output_dir, display, dry_run)
        return
    if reviewed is not None:
        refuse_dry_run(dry_run)
        plan, drift = ready(reviewed.file, accept_drift)
        cluster = _cluster(plan, reviewed.hostfile, reviewed.remote_shell)
        _carry_out(plan, reviewed.output_dir, display, quiet, cluster, drift)
        return
    points = [list(point) for point in expand_sweep(tokens)] if multirun else [tokens]
    if multirun and len(points) == 1 and is_ladder(points[0]):
        from forge.cli.climbing import carry_out_ladder

        carry_out_ladder(points[0], lambda lines: _summaries(lines, display, quiet), display)
        return
    compiled = compile_points(points)
    if launch := sent_off(compiled):
        spec = compiled[0].spec
        try:
            send_off(
                [point.plan for point in compiled], launch, Path(spec.values["output_dir"]), display, dry_run
            )
        except SpecError as error:
            raise SpecError(*(located(spec, line) for line in error.lines)) from None
        return
    refuse_dry_run(dry_run)
    _run_points(points, compiled, display, quiet)


def _summaries(points: Sequence[list[str]], display: Display, quiet: bool) -> list[dict[str, Any]]:
    lines = list(points)
    return [done.summary for done in _run_points(lines, compile_points(lines), display, quiet)]


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
            check_carried_out(one.plan.layout)
            _check_place(one, machine)
            compiled.append(one)
        except (SpecError, FitError) as error:
            errors.append(error)
    if errors:
        lines = dict.fromkeys(line for error in errors for line in error.lines)
        kind = SpecError if any(isinstance(error, SpecError) for error in errors) else FitError
        raise kind(*lines)
    return compiled


def _check_place(point: Compiled, machine: Machine) -> None:
    """Refuse a run that can't be carried out where it is to be: here, here and on other machines, or elsewhere."""
    values = point.spec.values
    target, hostfile = values["launch"]["target"], values["hostfile"]
    try:
        check_target(target, hostfile)
    except SpecError as error:
        raise SpecError(*(located(point.spec, line) for line in error.lines)) from None
    if target in SENT_OFF:
        return
    check_runnable(point.hardware, machine)
    _cluster(point.plan, hostfile, values["remote_shell"])


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
