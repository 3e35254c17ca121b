"""A search: each trial's values are chosen by what came of those before, by Optuna's TPE, and runs that fall behind are
ended early by its successive halving.

Optuna's study is made anew from the trials whenever it is asked: a search is what sweep.json and the runs say, and
whatever was killed in between, the same trials lead to the same next one.

Sources: TPE, Bergstra et al. 2011; asynchronous successive halving, Li et al. 2020.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from forge.errors import SpecError

SIGNIFICANT_DIGITS = 4
"""Of a number between two others: what tells learning rates apart, and can be read."""

_UNFINISHED = ("waiting", "running", "stopped")


class Axis(Protocol):
    """One key and its values, as `forge.spec.search_space.Axis` is."""

    @property
    def key(self) -> str:
        """Dotted."""

    @property
    def values(self) -> tuple[str, ...]:
        """As typed; empty for numbers."""

    @property
    def low(self) -> float:
        """Belongs to it."""

    @property
    def high(self) -> float:
        """Belongs to it."""

    @property
    def step(self) -> float | None:
        """Between neighbours; None: any number."""

    @property
    def is_whole(self) -> bool:
        """Whether numbers are whole."""

    @property
    def is_log(self) -> bool:
        """Whether numbers are searched by their logarithm."""

    def typed(self, number: float) -> str:
        """Return a number as one types it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as far as it has come."""

    chosen: Mapping[str, str]
    """Value of each axis, as typed."""
    status: str
    value: float | None = None
    """Of the metric, where it is done."""
    held_out: Mapping[int, float] = field(default_factory=dict)
    """Held-out losses by step."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, and how."""

    axes: Sequence[Axis]
    seed: int
    higher_is_better: bool = False
    halving_factor: int | None = None

    def next(self, trials: Sequence[Trial]) -> dict[str, str]:
        """Return the values to try next, by key, as typed."""
        optuna = require_optuna()
        study, _ = self._study(trials)
        trial = study.ask({axis.key: _distribution(optuna, axis) for axis in self.axes})
        return {axis.key: _typed(axis, trial.params[axis.key]) for axis in self.axes}

    def ends_early(self, trials: Sequence[Trial]) -> bool:
        """True where the last of `trials`, which is at work, is not among the best of `halving_factor`."""
        if self.halving_factor is None or not trials[-1].held_out:
            return False
        _, pruned = self._study(trials)
        return pruned

    def _study(self, trials: Sequence[Trial]) -> tuple[Any, bool]:
        """Return the study that `trials` make up, and whether the last of them falls behind."""
        optuna = require_optuna()
        pruner: Any = optuna.pruners.NopPruner()
        if self.halving_factor is not None:
            steps = [min(trial.held_out) for trial in trials if trial.held_out]
            pruner = optuna.pruners.SuccessiveHalvingPruner(
                min_resource=min(steps, default=1), reduction_factor=self.halving_factor
            )
        seed = (self.seed * 1_000_003 + len(trials)) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some of it is called experimental
            # Those at work count as bad ones, so that two at a time are not the same.
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            study = optuna.create_study(
                direction="maximize" if self.higher_is_better else "minimize", sampler=sampler, pruner=pruner
            )
        distributions = {axis.key: _distribution(optuna, axis) for axis in self.axes}
        behind = False
        for trial in trials:
            study.enqueue_trial({axis.key: _given(axis, trial.chosen[axis.key]) for axis in self.axes})
            asked = study.ask(distributions)
            for step, loss in sorted(trial.held_out.items()):
                asked.report(-loss if self.higher_is_better else loss, step)
                behind = asked.should_prune()
            if trial.status == "done" and trial.value is not None:
                study.tell(asked, trial.value)
            elif trial.status == "pruned":
                study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            elif trial.status not in _UNFINISHED:
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return study, behind


def require_optuna() -> Any:
    """Return the package.

    Raises:
        SpecError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SpecError(
            "sweep.method: optuna is not installed: pip install 'forge-run[optuna]', or use sweep.method=grid"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, axis: Axis) -> Any:
    if axis.values:
        return optuna.distributions.CategoricalDistribution(list(axis.values))
    if axis.is_whole:
        low, high, step = int(axis.low), int(axis.high), int(axis.step or 1)
        return optuna.distributions.IntDistribution(low, high, log=axis.is_log, step=step)
    return optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.is_log, step=axis.step)


def _typed(axis: Axis, value: Any) -> str:
    if axis.values:
        return str(value)
    if axis.step is None:
        value = min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), axis.low), axis.high)
    return axis.typed(value)


def _given(axis: Axis, text: str) -> Any:
    if axis.values:
        return text
    return int(text) if axis.is_whole else float(text)
