"""`forge-run -m sweep.method=optuna`: a search, whose points are compiled as they are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from forge.cli.compiling import Compiled, Shared, compile_overrides
from forge.cli.running import check_here
from forge.cli.sending import refuse_sent_off
from forge.cli.sweep_points import all_of, check_affordable, point_of, settings_of, show_points_notes
from forge.cli.sweep_view import total_cost
from forge.cli.sweep_work import ID_HEX_DIGITS, Work, carry_out_work
from forge.errors import FitError, SpecError, UserError
from forge.plan.machine import Machine
from forge.plan.types import content_hash
from forge.run.display import Display
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Outcome, Point, is_done
from forge.run.sweep.record import HIGHER_IS_BETTER, Sweep, figures_of, held_out_of, read_record
from forge.run.sweep.search import Search, Trial, require_optuna
from forge.spec.search_path import RECIPE_GROUP
from forge.spec.search_space import Axis

TOKENS_DIFFER = ("tokenizer", "data", RECIPE_GROUP)
"""Groups that change what a token is, or which text is held out."""


def search(
    fixed: list[str],
    axes: Sequence[Axis],
    machine: Machine,
    shared: Shared,
    display: Display,
    quiet: bool,
) -> None:
    """Carry out the search of a command line.

    Args:
        fixed: its overrides that name one value.
        axes: what is searched.
        machine: this one.
        shared: what was read for the command line before.
        display: shows the work.
        quiet: whether only what came out is said.
    """
    if not axes:
        raise SpecError(
            "command line: sweep.method: optuna searches values and none are named: give a key several, as "
            "train.learning_rate=tag(log,interval(1e-4,1e-2))"
        )
    require_optuna()
    probes = _compile_probes(fixed, axes, machine, shared)
    settings = settings_of(probes)
    _check_halving(settings, axes, probes[0])
    base = probes[0]
    refuse_sent_off(base, "sweep=optuna: a trial waits for those before it")
    trials = settings["trials"]
    dearest = max(
        (probe.plan.estimates for probe in probes), key=lambda each: (each.gpu_hours, each.wall_clock_s)
    )
    cost = total_cost([dearest] * trials)
    check_affordable(probes, cost, trials, settings, machine)
    space = [[axis.key, list(axis.values), axis.low, axis.high, axis.step, axis.is_log] for axis in axes]
    found = Sweep(
        content_hash([base.plan.id, space, settings["metric"], settings["halving_factor"]])[:ID_HEX_DIGITS],
        base.plan.name,
        "optuna",
        settings["metric"],
        tuple(axis.key for axis in axes),
        point_of(1, [], [], base).output_dir,
    )
    show_points_notes(probes)
    search = Search(axes, base.plan.seed, settings["metric"] in HIGHER_IS_BETTER, settings["halving_factor"])
    devices = base.plan.layout.processes_per_node
    width = settings["parallel_runs"] or (
        max(len(machine.gpu_names) // devices, 1) if base.plan.layout.device == "cuda" else 1
    )
    state = State([])
    trying = Trials(search, fixed, axes, machine, shared, found, state, trials, width)
    steps = trials * base.plan.schedule.steps
    carry_out_work(
        Work(found, settings, machine, display, quiet, trials, steps, cost), state, trying, trying.restore
    )


@dataclass(slots=True)
class Trials:
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
        return point_of(number, line, [axis.key for axis in self.axes], one)


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
        raise all_of(errors)
    return compiled


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
