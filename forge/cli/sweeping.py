"""`forge-run -m`: compile every point of a sweep, say what it will cost, carry it out, rank its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from forge.cli.compiling import Compiled, Shared
from forge.cli.sending import refuse_dry_run, send_all_off, sent_off
from forge.cli.sweep_points import (
    check_affordable,
    compile_all,
    distinct,
    point_of,
    settings_of,
    show_points_notes,
)
from forge.cli.sweep_search import search
from forge.cli.sweep_view import total_cost
from forge.cli.sweep_work import ID_HEX_DIGITS, Work, carry_out_work
from forge.errors import SpecError
from forge.plan.machine import Machine, probe_machine
from forge.plan.types import content_hash
from forge.run.display import Display
from forge.run.quantities import counted
from forge.run.summary import SUMMARY
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Point, is_done
from forge.run.sweep.processes import is_elsewhere
from forge.run.sweep.record import Sweep
from forge.spec.compose import compose_spec
from forge.spec.search_space import Axis, read_search_space
from forge.spec.sweep import expand_sweep

ONE_PLACE = ("sweep", "launch", "track", "output_dir", "hostfile", "remote_shell")
"""Of a whole sweep; none of its points has one of its own."""


def sweep(tokens: Sequence[str], display: Display, quiet: bool, dry_run: bool = False) -> None:
    """Carry out the sweep of a command line.

    Raises:
        SpecError: a point is wrong; nothing was started.
        FitError: a point does not fit, or the sweep its budget; nothing was started.
        StageError: runs failed; the lines name them and their logs.
        Interrupted: it was stopped; the same command goes on.
    """
    machine, shared = probe_machine(), Shared()
    fixed, axes = read_search_space(tokens, shared.search_path)
    check_axes(axes)
    method = method_of(fixed, axes, shared)
    if method == "ladder":
        refuse_dry_run(dry_run)
        _climb(fixed, axes, machine, shared, display, quiet)
    elif method == "optuna":
        refuse_dry_run(dry_run)
        search(fixed, axes, machine, shared, display, quiet)
    elif not axes:
        raise SpecError(
            "command line: -m: no key has several values: name some, as train.learning_rate=1e-3,3e-4, or drop -m"
        )
    else:
        lines = expand_sweep(tokens, shared.search_path)
        carry_out_lines(lines, [axis.key for axis in axes], machine, shared, display, quiet, dry_run)


def _climb(
    overrides: Sequence[str],
    axes: Sequence[Axis],
    machine: Machine,
    shared: Shared,
    display: Display,
    quiet: bool,
) -> None:
    """Carry out the ladder of one run; its rungs are points of sweeps."""
    if axes:
        raise SpecError(
            *(f"command line: {axis.key}: a ladder is of one run: give it one value" for axis in axes)
        )
    from forge.cli.climbing import carry_out_ladder

    def run_rungs(name: str, lines: Sequence[list[str]]) -> list[dict[str, Any]]:
        state = carry_out_lines(lines, _varying(lines), machine, shared, display, quiet, name=name)
        folders = [point.run_dir for point in state.points if isinstance(point, Point)]
        return [json.loads((folder / SUMMARY).read_text(encoding="utf-8")) for folder in folders]

    carry_out_ladder(list(overrides), run_rungs, display)


def _varying(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the keys that command lines give different values, in the order they are first given."""
    given = [dict(token.lstrip("+").partition("=")[::2] for token in line) for line in lines]
    keys = dict.fromkeys(key for values in given for key in values)
    return [key for key in keys if len({values.get(key) for values in given}) > 1]


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse values that differ where all runs of a sweep have one.

    Raises:
        SpecError: with a line a key.
    """
    wrong = [axis.key for axis in axes if axis.key.partition(".")[0] in ONE_PLACE]
    if wrong:
        raise SpecError(
            *(f"command line: {key}: is that of the whole sweep: give it one value" for key in wrong)
        )


def method_of(fixed: Sequence[str], axes: Sequence[Axis], shared: Shared) -> str:
    """Return how the points are chosen, as the first of them says."""
    first = [*fixed, *(f"{axis.key}={axis.extremes[0]}" for axis in axes)]
    try:
        method: str = compose_spec(first, shared.search_path).values["sweep"]["method"]
    except SpecError:
        if any(not axis.values and axis.step is None for axis in axes):
            raise
        return "grid"  # where every point is compiled, and all that is wrong is said
    return method


def carry_out_lines(
    lines: Sequence[list[str]],
    keys: Sequence[str],
    machine: Machine,
    shared: Shared,
    display: Display,
    quiet: bool,
    dry_run: bool = False,
    name: str | None = None,
) -> State:
    """Carry out command lines as the points of a grid, and return what became of them.

    Args:
        lines: the overrides of each run.
        keys: what varies.
        machine: this one.
        shared: what was read for other command lines.
        display: shows the work.
        quiet: whether only what came out is said.
        dry_run: where the runs are sent elsewhere, whether they are written only.
        name: of the sweep; that of its first run where None.

    Raises:
        SpecError, FitError, StageError, Interrupted: as `sweep`.
    """
    compiled = compile_all(lines, machine, shared, display)
    settings = settings_of(compiled)
    points: list[Point | Infeasible] = [
        point_of(number, line, keys, one)
        for number, (line, one) in enumerate(zip(lines, compiled, strict=True), 1)
    ]
    runs = distinct(points)
    plan_ids = sorted(point.plan.id for point in runs)
    found = Sweep(
        content_hash([plan_ids, settings["metric"]])[:ID_HEX_DIGITS],
        name or compiled[0].plan.name,
        "grid",
        settings["metric"],
        tuple(keys),
        runs[0].output_dir,
    )
    cost = total_cost([point.plan.estimates for point in runs])
    check_affordable(compiled, cost, len(runs), settings, machine)
    show_points_notes(compiled)
    if _send_rest(compiled, runs, display, dry_run):
        return State(points)
    steps = sum(point.plan.schedule.steps for point in runs)
    work = Work(found, settings, machine, display, quiet, len(runs), steps, cost)
    state = State(points)
    carry_out_work(work, state)
    return state


def _send_rest(compiled: Sequence[Compiled], runs: Sequence[Point], display: Display, dry_run: bool) -> bool:
    """Send the runs elsewhere that are neither done nor at work; False where none is to be sent.

    That is so where they are carried out here, and where all are done and only their table is wanted.

    Raises:
        SpecError, StageError: as `send_all_off`.
    """
    if sent_off(compiled) is None:
        refuse_dry_run(dry_run)
        return False
    done = [point for point in runs if is_done(point)]
    at_work = [point for point in runs if is_elsewhere(point)]
    if len(done) == len(runs):
        return False
    for point in at_work:
        display.line(f"{point.named()}: is being carried out: not sent again")
    passed_over = {point.plan.id for point in (*done, *at_work)}
    by_plan = {one.plan.id: one for one in compiled}
    left = [by_plan[point.plan.id] for point in runs if point.plan.id not in passed_over]
    if done:
        display.line(f"{counted(len(runs), 'run')}, {len(done):,} done before")
    if left:
        send_all_off(left, display, dry_run)
    display.line("when runs have ended, the same command ranks them, or sends again those that are not done")
    return True
