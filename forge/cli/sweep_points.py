"""The points of a sweep, compiled: each by itself, and whether all of them together may be carried out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.cli.compiling import Compiled, Shared, compile_overrides
from forge.cli.notes import show_notes
from forge.cli.running import check_here
from forge.cli.sweep_view import Cost
from forge.errors import FitError, SpecError, UserError
from forge.plan.machine import Machine
from forge.run.display import Display
from forge.run.quantities import counted, figure
from forge.run.sweep.point import Infeasible, Point
from forge.spec.show import origins_to_json


def compile_all(
    lines: Sequence[list[str]], machine: Machine, shared: Shared, display: Display, needs_data: bool = True
) -> list[Compiled]:
    """Compile every point before anything starts; `needs_data` as `compile_overrides` has it.

    Raises:
        SpecError: with the lines of every point that is wrong, each line once.
        FitError: a plan does not fit its hardware.
    """
    compiled: list[Compiled] = []
    errors: list[UserError] = []
    shown = display.stage("compile")
    try:
        shown.start(len(lines), "runs")
        for line in lines:
            try:
                compiled.append(compile_overrides(line, machine, needs_data, shared))
            except (SpecError, FitError) as error:
                errors.append(error)
            shown.advance()
    finally:
        shown.close()
    if errors:
        raise all_of(errors)
    return compiled


def all_of(errors: Sequence[UserError]) -> UserError:
    """Return one error with the lines of several, each line once; that a spec is wrong weighs most."""
    lines = dict.fromkeys(line for error in errors for line in error.lines)
    kind = SpecError if any(isinstance(error, SpecError) for error in errors) else FitError
    return kind(*lines)


def point_of(number: int, line: Sequence[str], keys: Sequence[str], one: Compiled) -> Point:
    """Return a point of a sweep in which `keys` vary."""
    given = {key: value for key, _, value in (token.lstrip("+").partition("=") for token in line)}
    values = one.spec.values
    return Point(
        number,
        tuple(line),
        {key: given[key] for key in keys},
        one.plan,
        Path(values["output_dir"]).expanduser(),
        values["hostfile"],
        values["remote_shell"],
        values["track"],
        origins_to_json(one.spec),
    )


def settings_of(compiled: Sequence[Compiled]) -> dict[str, Any]:
    """Return the values of group `sweep`, which are those of all points.

    Raises:
        SpecError: recipes that are swept over have values of their own.
    """
    first = compiled[0].spec.values
    for key in ("output_dir", *(f"sweep.{name}" for name in first["sweep"])):
        group, _, name = key.rpartition(".")
        values = [one.spec.values["sweep"][name] if group else one.spec.values[name] for one in compiled]
        other = next((value for value in values if value != values[0]), values[0])
        if other != values[0]:
            raise SpecError(
                f"command line: {key}: is {values[0]} in one run and {other} in another: give it for the whole sweep"
            )
    settings: dict[str, Any] = first["sweep"]
    return settings


def distinct(points: Sequence[Point | Infeasible]) -> list[Point]:
    """Return the points that compile, the first of each plan."""
    by_plan: dict[str, Point] = {}
    for point in points:
        if isinstance(point, Point):
            by_plan.setdefault(point.plan.id, point)
    return list(by_plan.values())


def check_affordable(
    compiled: Sequence[Compiled], cost: Cost, runs: int, settings: Mapping[str, Any], machine: Machine
) -> None:
    """Refuse a sweep that needs more than it may, or another machine.

    Raises:
        SpecError: the machines named are not what a plan is for.
        FitError: the budget is too small, or this machine is not the hardware.
    """
    errors: list[UserError] = []
    try:
        check_budget(cost, runs, settings)
    except FitError as error:
        errors.append(error)
    for one in compiled:
        try:
            check_here(one, machine)
        except (SpecError, FitError) as error:
            errors.append(error)
    if errors:
        raise all_of(errors)


def check_budget(cost: Cost, runs: int, settings: Mapping[str, Any]) -> None:
    """Refuse a sweep that needs more than `sweep.budget_gpu_hours`.

    Raises:
        FitError: it does.
    """
    budget = settings["budget_gpu_hours"]
    if budget is not None and cost.gpu_hours > budget:
        raise FitError(
            f"sweep.budget_gpu_hours: {counted(runs, 'run')} are predicted to need {figure(cost.gpu_hours)} "
            f"GPU-hours, and {figure(budget)} are allowed: run fewer, make them shorter (train.tokens), or allow "
            f"{figure(math.ceil(cost.gpu_hours))}"
        )


def show_points_notes(compiled: Sequence[Compiled]) -> None:
    """Print what the user should know of points, each thing once."""
    show_notes(dict.fromkeys(note for one in compiled for note in one.notes))
