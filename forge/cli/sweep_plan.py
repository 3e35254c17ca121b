"""`forge plan -m`: every run of a sweep, compiled and shown; nothing is written or started."""

from __future__ import annotations

from collections.abc import Sequence

from forge.cli.compiling import Shared
from forge.cli.sweep_points import (
    check_budget,
    compile_all,
    distinct,
    point_of,
    settings_of,
    show_points_notes,
)
from forge.cli.sweep_view import show_planned, total_cost
from forge.cli.sweeping import check_axes, method_of
from forge.errors import SpecError
from forge.plan.machine import probe_machine
from forge.run.display import Display
from forge.spec.search_space import read_search_space
from forge.spec.sweep import expand_sweep


def plan_sweep(tokens: Sequence[str], display: Display) -> None:
    """Show the runs that `forge-run -m` would carry out, and what they are predicted to cost.

    Raises:
        SpecError: a point is wrong, or the command line is no grid.
        FitError: a point does not fit, or the sweep its budget.
    """
    machine, shared = probe_machine(), Shared()
    fixed, axes = read_search_space(tokens, shared.search_path)
    check_axes(axes)
    method = method_of(fixed, axes, shared)
    if method == "ladder":
        raise SpecError("command line: --multirun: a ladder is planned as one run: drop it")
    if method == "optuna":
        raise SpecError(
            "command line: --multirun: a search chooses its runs as it goes: `forge-run -m` says what they may cost "
            "before it starts one"
        )
    if not axes:
        raise SpecError(
            "command line: -m: no key has several values: name some, as train.learning_rate=1e-3,3e-4, or drop -m"
        )
    lines = expand_sweep(tokens, shared.search_path)
    compiled = compile_all(lines, machine, shared, display, needs_data=False)
    keys = [axis.key for axis in axes]
    points = distinct(
        [
            point_of(number, line, keys, one)
            for number, (line, one) in enumerate(zip(lines, compiled, strict=True), 1)
        ]
    )
    cost = total_cost([point.plan.estimates for point in points])
    show_points_notes(compiled)
    show_planned(keys, points, cost)
    check_budget(cost, len(points), settings_of(compiled))
