"""`forge-run -m`: compile every point of a sweep, say what it will cost, carry it out, rank its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forge.cli.compiling import Compiled, Shared, compile_overrides, source_hashes
from forge.cli.notes import show_notes
from forge.cli.running import check_here
from forge.cli.sweep_view import Cost, cost_line, show_table, total_cost
from forge.errors import FitError, SpecError, StageError, UserError
from forge.locks import Busy, take_lock
from forge.plan.machine import Machine, probe_machine
from forge.plan.types import content_hash
from forge.run.display import Display
from forge.run.quantities import counted, figure
from forge.run.run import disk_line
from forge.run.sweep.carry_out import NoMore, State, carry_out
from forge.run.sweep.point import Infeasible, Outcome, Point, is_done
from forge.run.sweep.record import (
    HIGHER_IS_BETTER,
    Sweep,
    figures_of,
    held_out_of,
    read_record,
    write_record,
    write_table,
)
from forge.run.sweep.search import Search, Trial, require_optuna
from forge.run.sweep.slots import Slots, visible_gpus
from forge.spec.compose import compose_spec
from forge.spec.search_path import RECIPE_GROUP
from forge.spec.search_space import Axis, read_search_space
from forge.spec.sweep import expand_sweep

ID_HEX_DIGITS = 12

ONE_PLACE = ("sweep", "output_dir", "hostfile", "remote_shell")
"""Of a whole sweep; none of its points has one of its own."""

TOKENS_DIFFER = ("tokenizer", "data", RECIPE_GROUP)
"""Groups that change what a token is, or which text is held out."""


def sweep(tokens: Sequence[str], display: Display, quiet: bool) -> None:
    """Carry out the sweep of a command line.

    Raises:
        SpecError: a point is wrong; nothing was started.
        FitError: a point does not fit, or the sweep its budget; nothing was started.
        StageError: runs failed; the lines name them and their logs.
        Interrupted: it was stopped; the same command goes on.
    """
    machine, shared = probe_machine(), Shared()
    fixed, axes = read_search_space(tokens, shared.search_path)
    _check_axes(axes)
    if _method(fixed, axes, shared) == "optuna":
        _search(fixed, axes, machine, shared, display, quiet)
    else:
        _grid(tokens, axes, machine, shared, display, quiet)


def _check_axes(axes: Sequence[Axis]) -> None:
    wrong = [axis.key for axis in axes if axis.key.partition(".")[0] in ONE_PLACE]
    if wrong:
        raise SpecError(
            *(f"command line: {key}: is that of the whole sweep: give it one value" for key in wrong)
        )


def _method(fixed: Sequence[str], axes: Sequence[Axis], shared: Shared) -> str:
    """Return how the points are chosen, as the first of them says."""
    first = [*fixed, *(f"{axis.key}={axis.extremes[0]}" for axis in axes)]
    try:
        method: str = compose_spec(first, shared.search_path).values["sweep"]["method"]
    except SpecError:
        if any(not axis.values and axis.step is None for axis in axes):
            raise
        return "grid"  # where every point is compiled, and all that is wrong is said
    return method


def _grid(
    tokens: Sequence[str],
    axes: Sequence[Axis],
    machine: Machine,
    shared: Shared,
    display: Display,
    quiet: bool,
) -> None:
    lines = expand_sweep(tokens, shared.search_path)
    compiled = _compile_all(lines, machine, shared, display)
    settings = _settings(compiled)
    keys = [axis.key for axis in axes]
    points: list[Point | Infeasible] = [
        _point(number, line, keys, one)
        for number, (line, one) in enumerate(zip(lines, compiled, strict=True), 1)
    ]
    distinct = _distinct(points)
    plan_ids = sorted(point.plan.id for point in distinct)
    found = Sweep(
        content_hash([plan_ids, settings["metric"]])[:ID_HEX_DIGITS],
        compiled[0].plan.name,
        "grid",
        settings["metric"],
        tuple(keys),
        distinct[0].output_dir,
    )
    cost = total_cost([point.plan.estimates for point in distinct])
    _check(compiled, cost, len(distinct), settings, machine)
    _notes(compiled, axes)
    steps = sum(point.plan.schedule.steps for point in distinct)
    work = _Work(found, settings, machine, display, quiet, len(distinct), steps, cost)
    _carry_out(work, State(points), NoMore())


def _search(
    fixed: list[str],
    axes: Sequence[Axis],
    machine: Machine,
    shared: Shared,
    display: Display,
    quiet: bool,
) -> None:
    if not axes:
        raise SpecError(
            "command line: sweep.method: optuna searches values and none are named: give a key several, as "
            "train.learning_rate=tag(log,interval(1e-4,1e-2))"
        )
    require_optuna()
    probes = _compile_probes(fixed, axes, machine, shared)
    settings = _settings(probes)
    _check_halving(settings, axes, probes[0])
    base = probes[0]
    trials = settings["trials"]
    dearest = max(
        (probe.plan.estimates for probe in probes), key=lambda each: (each.gpu_hours, each.wall_clock_s)
    )
    cost = total_cost([dearest] * trials)
    _check(probes, cost, trials, settings, machine)
    space = [[axis.key, list(axis.values), axis.low, axis.high, axis.step, axis.is_log] for axis in axes]
    found = Sweep(
        content_hash([base.plan.id, space, settings["metric"], settings["halving_factor"]])[:ID_HEX_DIGITS],
        base.plan.name,
        "optuna",
        settings["metric"],
        tuple(axis.key for axis in axes),
        _point(1, [], [], base).output_dir,
    )
    _notes(probes, axes)
    search = Search(axes, base.plan.seed, settings["metric"] in HIGHER_IS_BETTER, settings["halving_factor"])
    devices = base.plan.layout.processes_per_node
    width = settings["parallel_runs"] or (
        max(len(machine.gpu_names) // devices, 1) if base.plan.layout.device == "cuda" else 1
    )
    state = State([])
    trying = _Trials(search, fixed, axes, machine, shared, found, state, trials, width)
    steps = trials * base.plan.schedule.steps
    _carry_out(_Work(found, settings, machine, display, quiet, trials, steps, cost), state, trying)


@dataclass(slots=True)
class _Trials:
    """Chooses the points of a search."""

    search: Search
    fixed: list[str]
    axes: Sequence[Axis]
    machine: Machine
    shared: Shared
    sweep: Sweep
    state: State
    trials: int
    width: int
    _looked_at: dict[int, int] = field(default_factory=dict)
    """Held-out losses of a run when it was last judged."""

    def restore(self) -> None:
        """Take up the trials that an earlier command recorded."""
        for row in read_record(self.sweep):
            point = self._compiled(row["number"], row["differs"])
            self.state.points.append(point)
            if isinstance(point, Point) and row["status"] == "pruned" and not is_done(point):
                self.state.outcomes[point.number] = Outcome("pruned", step=row["step"])

    def more(self, outcomes: dict[int, Outcome]) -> Point | Infeasible | None:
        """Return the next trial; None where all are there."""
        number = len(self.state.points) + 1
        if number > self.trials:
            return None
        return self._compiled(number, self.search.next(self._so_far(outcomes)))

    def ends_early(self, point: Point, held_out: dict[int, float]) -> bool:
        """True where a run falls behind the others."""
        if self._looked_at.get(point.number, 0) == len(held_out):
            return False
        self._looked_at[point.number] = len(held_out)
        others = self._so_far(self.state.outcomes, but=point.number)
        return self.search.ends_early([*others, Trial(point.differs, "running", held_out=held_out)])

    def _so_far(self, outcomes: Mapping[int, Outcome], but: int | None = None) -> list[Trial]:
        trials = []
        for point in self.state.points:
            if point.number == but:
                continue
            status = outcomes[point.number].status if point.number in outcomes else "running"
            value, held_out = None, {}
            if isinstance(point, Point) and status in ("done", "pruned", "running"):
                held_out = held_out_of(point) if self.search.halving_factor else {}
                value = figures_of(point).get(self.sweep.metric) if status == "done" else None
            trials.append(Trial(point.differs, status, value, held_out))
        return trials

    def _compiled(self, number: int, chosen: dict[str, str]) -> Point | Infeasible:
        line = [*self.fixed, *(f"{axis.key}={chosen[axis.key]}" for axis in self.axes)]
        try:
            one = compile_overrides(line, self.machine, needs_data=True, shared=self.shared)
            check_here(one, self.machine)
        except (SpecError, FitError) as error:
            return Infeasible(number, tuple(line), chosen, error.lines)
        return _point(number, line, [axis.key for axis in self.axes], one)


def _compile_all(
    lines: Sequence[list[str]], machine: Machine, shared: Shared, display: Display
) -> list[Compiled]:
    """Compile every point before anything starts.

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
                compiled.append(compile_overrides(line, machine, needs_data=True, shared=shared))
            except (SpecError, FitError) as error:
                errors.append(error)
            shown.advance()
    finally:
        shown.close()
    if errors:
        raise _all_of(errors)
    return compiled


def _compile_probes(
    fixed: list[str], axes: Sequence[Axis], machine: Machine, shared: Shared
) -> list[Compiled]:
    """Compile the first values of all axes, and each other extreme with them, so that a typing mistake starts nothing.

    Raises:
        SpecError: one of them is wrong.
        FitError: none fits.
    """
    first = {axis.key: axis.extremes[0] for axis in axes}
    chosen = [first] + [first | {axis.key: value} for axis in axes for value in axis.extremes[1:]]
    compiled: list[Compiled] = []
    errors: list[UserError] = []
    for values in chosen:
        try:
            line = [*fixed, *(f"{key}={value}" for key, value in values.items())]
            compiled.append(compile_overrides(line, machine, needs_data=True, shared=shared))
        except (SpecError, FitError) as error:
            errors.append(error)
    if any(isinstance(error, SpecError) for error in errors) or not compiled:
        raise _all_of(errors)
    return compiled


def _all_of(errors: Sequence[UserError]) -> UserError:
    lines = dict.fromkeys(line for error in errors for line in error.lines)
    kind = SpecError if any(isinstance(error, SpecError) for error in errors) else FitError
    return kind(*lines)


def _point(number: int, line: Sequence[str], keys: Sequence[str], one: Compiled) -> Point:
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
    )


def _settings(compiled: Sequence[Compiled]) -> dict[str, Any]:
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


def _distinct(points: Sequence[Point | Infeasible]) -> list[Point]:
    by_plan: dict[str, Point] = {}
    for point in points:
        if isinstance(point, Point):
            by_plan.setdefault(point.plan.id, point)
    return list(by_plan.values())


def _check(
    compiled: Sequence[Compiled], cost: Cost, runs: int, settings: Mapping[str, Any], machine: Machine
) -> None:
    """Refuse a sweep that needs more than it may, or another machine.

    Raises:
        SpecError: the machines named are not what a plan is for.
        FitError: the budget is too small, or this machine is not the hardware.
    """
    errors: list[UserError] = []
    budget = settings["budget_gpu_hours"]
    if budget is not None and cost.gpu_hours > budget:
        errors.append(
            FitError(
                f"sweep.budget_gpu_hours: {counted(runs, 'run')} are predicted to need {figure(cost.gpu_hours)} "
                f"GPU-hours, and {figure(budget)} are allowed: run fewer, make them shorter (train.tokens), or allow "
                f"{figure(math.ceil(cost.gpu_hours))}"
            )
        )
    for one in compiled:
        try:
            check_here(one, machine)
        except (SpecError, FitError) as error:
            errors.append(error)
    if errors:
        raise _all_of(errors)


def _check_halving(settings: Mapping[str, Any], axes: Sequence[Axis], base: Compiled) -> None:
    if settings["halving_factor"] is None:
        return
    if not base.plan.schedule.evaluate_every_steps:
        raise SpecError(
            "command line: sweep.halving_factor: nothing is measured while training: set "
            "train.evaluate_every_steps, or sweep.halving_factor=null"
        )
    differ = next((axis.key for axis in axes if axis.key.partition(".")[0] in TOKENS_DIFFER), None)
    if differ is not None:
        raise SpecError(
            f"command line: sweep.halving_factor: with {differ} a token is another in each run, and so is its loss: "
            "use sweep.halving_factor=null"
        )


def _notes(compiled: Sequence[Compiled], axes: Sequence[Axis]) -> None:
    show_notes(dict.fromkeys(note for one in compiled for note in one.notes))
    if not axes:
        show_notes(["command line: no override names several values: this sweep is one run"])


@dataclass(frozen=True, slots=True)
class _Work:
    """A sweep that is ready to be carried out."""

    sweep: Sweep
    settings: Mapping[str, Any]
    machine: Machine
    display: Display
    quiet: bool
    runs: int
    steps: int
    """Of all runs."""
    cost: Cost


def _carry_out(work: _Work, state: State, chooser: NoMore | _Trials) -> None:
    """Carry out a sweep, with its folder held, and show its runs by rank."""
    found, display = work.sweep, work.display
    slots = Slots(
        found.output_dir / "sweeps" / "slots",
        visible_gpus(len(work.machine.gpu_names)),
        work.settings["parallel_runs"],
    )
    try:
        found.folder.mkdir(parents=True, exist_ok=True)
        with take_lock(found.folder / "sweep.lock", patience_s=0):
            if isinstance(chooser, _Trials):
                chooser.restore()
            done = [point for point in _distinct(state.points) if is_done(point)]
            for line in (*_same_plans(state.points), cost_line(found, work.cost, work.runs, len(done))):
                display.line(line)
            shown = display.stage("sweep")
            try:
                shown.start(work.steps, "steps")
                shown.resume(sum(point.plan.schedule.steps for point in done))
                carry_out(
                    state,
                    slots,
                    chooser,
                    shown,
                    display.line,
                    lambda now: _write(found, now),
                    source_hashes(),
                )
            finally:
                shown.close()
            rows = write_record(found, state)
            table = write_table(found, rows)
    except Busy:
        raise StageError(f"{found.folder}: is being carried out by another forge-run: wait for it") from None
    except OSError as error:
        raise StageError(disk_line("sweep", error, found.output_dir)) from None
    show_table(found, rows, table, work.quiet)
    _raise_failed(state)


def _write(found: Sweep, state: State) -> None:
    write_record(found, state)


def _same_plans(points: Sequence[Point | Infeasible]) -> list[str]:
    first: dict[str, Point] = {}
    lines = []
    for point in points:
        if isinstance(point, Point) and first.setdefault(point.plan.id, point) is not point:
            lines.append(
                f"{point.named()}: is the same as run {first[point.plan.id].number}: carried out once"
            )
    return lines


def _raise_failed(state: State) -> None:
    lines = []
    for point in _distinct(state.points):
        outcome = state.outcome(point.number)
        if outcome.status in ("failed", "stopped"):
            lines.append(f"{point.named()}: {outcome.status}: {'; '.join(outcome.lines)}; log {point.log}")
    if lines:
        raise StageError(*lines, "sweep: the other runs are done: the same command tries these again")
