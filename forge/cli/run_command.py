"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from forge.cli.compiling import Compiled, compile_overrides, source_hashes
from forge.cli.ladder import is_ladder, ladder_of
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of
from forge.cli.reviewed import ready, reviewed_plan
from forge.cli.sending import SENT_OFF, hand_over, pack_parcel
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
        _check_target(reviewed.launch["target"], reviewed.hostfile)
    if reviewed is not None and reviewed.launch["target"] in SENT_OFF:
        _send_off([load_plan(reviewed.file)], reviewed.launch, reviewed.output_dir, display, dry_run)
        return
    if reviewed is not None:
        _refuse_dry_run(dry_run)
        plan, drift = ready(reviewed.file, accept_drift)
        cluster = _cluster(plan, reviewed.hostfile, reviewed.remote_shell)
        _carry_out(plan, reviewed.output_dir, display, quiet, cluster, drift)
        return
    points = [list(point) for point in expand_sweep(tokens)] if multirun else [tokens]
    if multirun and len(points) == 1 and _climb(points[0], display, quiet):
        return
    compiled = compile_points(points)
    if launch := _sent_off(compiled):
        spec = compiled[0].spec
        try:
            _send_off(
                [point.plan for point in compiled], launch, Path(spec.values["output_dir"]), display, dry_run
            )
        except SpecError as error:
            raise SpecError(*(located(spec, line) for line in error.lines)) from None
        return
    _refuse_dry_run(dry_run)
    _run_points(points, compiled, display, quiet)


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
    from forge.cli.climbing import climb
    from forge.cli.ladder_view import show_ladder, show_outcome

    ladder = ladder_of(run, machine)
    show_ladder(ladder, run.plan)
    if launch := _sent_off([run]):
        raise SpecError(
            f"sweep=ladder: the larger rungs wait for the smaller, which launch={launch['target']} does not: give this "
            "command in a job, with launch=local"
        )

    def run_points(points: Sequence[list[str]]) -> list[dict[str, Any]]:
        lines = [list(point) for point in points]
        return [done.summary for done in _run_points(lines, compile_points(lines), display, quiet)]

    outcome, file = climb(overrides, run, ladder, run_points, Path(run.spec.values["output_dir"]))
    show_outcome(outcome, run.plan)
    display.line(f"written to {file}")
    return True


def _refuse_dry_run(dry_run: bool) -> None:
    if dry_run:
        raise SpecError(
            "command line: --dry-run: goes with launch=slurm or launch=kubernetes: drop it, or see `forge plan`"
        )


def _send_off(
    plans: list[Plan], launch: dict[str, Any], output_dir: Path, display: Display, dry_run: bool
) -> None:
    """Write what carries out the plans elsewhere, and hand it over unless that is all that is asked."""
    parcel = pack_parcel(plans, launch, output_dir)
    display.line(f"written to {parcel.file}")
    display.line(f"hand it over with {' '.join(parcel.command)}" if dry_run else hand_over(parcel))


def _sent_off(compiled: list[Compiled]) -> dict[str, Any] | None:
    """Return how runs are sent elsewhere; None where they are carried out here."""
    launches = [point.spec.values["launch"] for point in compiled]
    if any(launch != launches[0] for launch in launches):
        raise SpecError("command line: launch: is not the same for all runs: give one")
    return launches[0] if launches[0]["target"] in SENT_OFF else None


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
        _check_target(target, hostfile)
    except SpecError as error:
        raise SpecError(*(located(point.spec, line) for line in error.lines)) from None
    if target in SENT_OFF:
        return
    check_runnable(point.hardware, machine)
    _cluster(point.plan, hostfile, values["remote_shell"])


def _check_target(target: str, hostfile: str | None) -> None:
    if target in SENT_OFF and hostfile is not None:
        raise SpecError(f"hostfile: launch={target} chooses the machines: leave it out")
    if target == "ssh" and hostfile is None:
        raise SpecError(
            "launch=ssh: goes to the machines of a hostfile: name them with hostfile=FILE, one line each: HOST slots=N"
        )


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
