"""`forge-run`: compose, validate, compile, carry out."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.cli.compiling import compile_overrides, source_hashes
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of
from forge.cli.reported import reported
from forge.cli.reviewed import ready, reviewed_plan
from forge.cli.running import check_here, cluster_of
from forge.cli.sending import SENT_OFF, check_target, refuse_dry_run, send_all_off, send_off
from forge.engine.hosts import Cluster
from forge.errors import SpecError
from forge.plan.machine import probe_machine
from forge.plan.types import Plan, load_plan
from forge.run.display import Display, make_display
from forge.run.origins import record_origins
from forge.run.run import run_folder, run_plan
from forge.run.tracking.beside import check_trackers, record_tracking
from forge.spec.show import origins_to_json


def run(
    context: typer.Context,
    overrides: Overrides = None,
    multirun: Annotated[
        bool,
        typer.Option(
            "--multirun",
            "-m",
            help="A sweep: run every combination of the values named, each in a process of its own, and rank them.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came out.")] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Say more: keys of stages, what was done before, commands, logs."
        ),
    ] = False,
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
    reviewed. A sweep: forge-run -m +recipe=legal_tiny train.learning_rate=1e-3,3e-4; with sweep.method=optuna a search.
    """
    tokens = overrides_of(context, overrides)
    if quiet and verbose:
        raise SpecError("command line: --quiet, --verbose: one says less, the other more: drop one")
    display = make_display(sys.stderr, quiet, verbose)
    reviewed = reviewed_plan(tokens)
    if reviewed is None and accept_drift:
        raise SpecError("command line: --accept-drift: goes with plan=FILE: drop it, or name a plan")
    if reviewed is not None and multirun:
        raise SpecError("command line: --multirun: a plan is one run: drop it")
    if reviewed is not None:
        check_target(reviewed.launch["target"], reviewed.hostfile)
        if reviewed.launch["target"] in SENT_OFF:
            plan = load_plan(reviewed.file)
            if reviewed.track is not None:
                record_tracking(run_folder(plan, reviewed.output_dir.expanduser()), reviewed.track)
            send_off([plan], reviewed.launch, reviewed.output_dir, display, dry_run)
            return
        refuse_dry_run(dry_run)
        plan, drift = ready(reviewed.file, accept_drift)
        cluster = cluster_of(plan, reviewed.hostfile, reviewed.remote_shell)
        if reviewed.track is not None:
            check_trackers(reviewed.track)
            record_tracking(run_folder(plan, reviewed.output_dir.expanduser()), reviewed.track)
        _carry_out(plan, reviewed.output_dir, display, quiet, cluster, drift)
        return
    if multirun:
        from forge.cli.sweeping import sweep

        sweep(tokens, display, quiet, dry_run)
        return
    about_sweeps = [token for token in tokens if re.match(r"\+{0,2}sweep[.=]", token)]
    if about_sweeps:
        raise SpecError(*(f"command line: {token}: is about a sweep: add -m" for token in about_sweeps))
    machine = probe_machine()
    one = compile_overrides(tokens, machine, needs_data=True)
    check_here(one, machine)
    show_notes(one.notes)
    if send_all_off([one], display, dry_run):
        return
    cluster = cluster_of(one.plan, one.spec.values["hostfile"], one.spec.values["remote_shell"])
    output_dir = Path(one.spec.values["output_dir"])
    run_dir = run_folder(one.plan, output_dir.expanduser())
    record_origins(run_dir, origins_to_json(one.spec))
    record_tracking(run_dir, one.spec.values["track"])
    _carry_out(one.plan, output_dir, display, quiet, cluster)


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
