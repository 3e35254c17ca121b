"""What a search tries: the overrides of a `-m` command line that name several values, each an axis.

Besides what a grid takes (lists, `choice`, `range`, `glob`), an axis may be `interval(LOW,HIGH)`; with
`tag(log,interval(LOW,HIGH))` it is searched in equal steps of its logarithm, with `int(interval(LOW,HIGH))` in whole
numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import IntervalSweep, RangeSweep

from forge.spec.command_line import WrongOverride, parse_value, split_override, wrong_override
from forge.spec.problems import Problem, raise_problems
from forge.spec.search_path import SearchPath, default_search_path
from forge.spec.sweep import MAX_POINTS, check_range, swept_values

LOG = "log"


@dataclass(frozen=True, slots=True)
class Axis:
    """One key and the values it may take: `values`, or the numbers from `low` to `high`."""

    key: str
    values: tuple[str, ...] = ()
    """As they are typed; empty for numbers."""
    low: float = 0.0
    high: float = 0.0
    """Of whole numbers both ends belong to it."""
    step: float | None = None
    """None: any number between the ends."""
    is_whole: bool = False
    is_log: bool = False

    @property
    def extremes(self) -> tuple[str, ...]:
        """The values by which a whole axis is judged: all that are listed, the ends of numbers."""
        return self.values or tuple(dict.fromkeys((self.typed(self.low), self.typed(self.high))))

    def typed(self, number: float) -> str:
        """Return a number as one types it."""
        return str(round(number)) if self.is_whole else f"{number:.12g}"


def read_search_space(
    tokens: Sequence[str], search_path: SearchPath | None = None
) -> tuple[list[str], list[Axis]]:
    """Return the overrides that name one value, as typed, and the axes.

    Args:
        tokens: overrides, as typed.
        search_path: where `GROUP=glob(...)` looks; that of this process where None.

    Raises:
        SpecError: an override cannot be read, or names values that cannot be searched.
    """
    search_path = search_path or default_search_path()
    fixed: list[str] = []
    axes: list[Axis] = []
    problems: list[Problem] = []
    for token in tokens:
        try:
            axis = _axis(token, search_path)
        except WrongOverride as error:
            problems.append(wrong_override(token, error))
            continue
        if axis is None:
            fixed.append(token)
        else:
            axes.append(axis)
    keys = [axis.key for axis in axes]
    problems += [
        wrong_override(key, WrongOverride("names several values more than once: name them once"))
        for key in dict.fromkeys(keys)
        if keys.count(key) > 1
    ]
    raise_problems(problems)
    return fixed, axes


def _axis(token: str, search_path: SearchPath) -> Axis | None:
    key, text = split_override(token, search_path)
    override = parse_value(key, text)
    if not override.is_sweep_override():
        return None
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        return _interval(key, swept)
    if isinstance(swept, RangeSweep):
        check_range(swept)
        return _range(key, swept)
    values = tuple(dict.fromkeys(swept_values(override, search_path)))
    if len(values) > MAX_POINTS:
        raise WrongOverride(f"names more than {MAX_POINTS} values")
    return Axis(key, values)


def _interval(key: str, swept: IntervalSweep) -> Axis:
    low, high = swept.start, swept.end
    assert low is not None
    assert high is not None
    is_log = LOG in swept.tags
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise WrongOverride("names no values: write interval(LOW,HIGH)")
    if is_log and low <= 0:
        raise WrongOverride("has no logarithm: begin above 0, or leave out tag(log,...)")
    is_whole = isinstance(low, int) and isinstance(high, int)
    return Axis(key, low=low, high=high, step=1 if is_whole else None, is_whole=is_whole, is_log=is_log)


def _range(key: str, swept: RangeSweep) -> Axis:
    """Return the axis of `range(START,STOP,STEP)`, which has no STOP in it, as Hydra's has not."""
    start, stop, step = swept.start, swept.stop, swept.step
    assert start is not None
    assert stop is not None
    count = math.ceil((stop - start) / step - 1e-9)
    ends = (start, start + (count - 1) * step)
    is_whole = all(isinstance(number, int) for number in (start, stop, step))
    is_log = LOG in swept.tags
    if is_log and (not is_whole or abs(step) != 1 or min(ends) <= 0):
        raise WrongOverride(
            "is searched by its logarithm in steps of 1 above 0: write tag(log,interval(LOW,HIGH))"
        )
    return Axis(key, low=min(ends), high=max(ends), step=abs(step), is_whole=is_whole, is_log=is_log)
