"""The points of a sweep: every combination of the values that the overrides of a `-m` command line name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep

from forge.spec.command_line import WrongOverride, check_plain, parse_value, split_override, wrong_override
from forge.spec.problems import Problem, raise_problems
from forge.spec.search_path import SearchPath, default_search_path

MAX_POINTS = 1_000


def expand_sweep(tokens: Sequence[str], search_path: SearchPath | None = None) -> list[list[str]]:
    """Return the points of a sweep, each a list of overrides; one point where no override names several values.

    Args:
        tokens: overrides, as typed.
        search_path: where `GROUP=glob(...)` looks; that of this process where None.

    Raises:
        SpecError: an override cannot be read, names values without end, or the points are more than MAX_POINTS.
    """
    search_path = search_path or default_search_path()
    problems: list[Problem] = []
    axes: list[list[str]] = []
    for token in tokens:
        try:
            axes.append(list(itertools.islice(_values(token, search_path), MAX_POINTS + 1)))
        except WrongOverride as error:
            problems.append(wrong_override(token, error))
    raise_problems(problems)
    count = math.prod(map(len, axes))
    if count > MAX_POINTS:
        too_many = WrongOverride(f"name more than {MAX_POINTS} runs together: name fewer values")
        raise_problems([wrong_override(" ".join(tokens), too_many)])
    return [list(point) for point in itertools.product(*axes)]


def _values(token: str, search_path: SearchPath) -> Iterator[str]:
    """Yield the overrides that one override stands for."""
    key, text = split_override(token, search_path)
    override = parse_value(key, text)
    if not override.is_sweep_override():
        yield token
        return
    if override.is_interval_sweep():
        raise WrongOverride(
            "has no end: name the values, write range(START,STOP,STEP), or search it with sweep.method=optuna"
        )
    for value in swept_values(override, search_path):
        yield f"{key}={value}"


def swept_values(override: Override, search_path: SearchPath) -> Iterator[str]:
    """Yield the values that one override names, as they are typed.

    Raises:
        WrongOverride: it names none, or something that cannot be run by itself.
    """
    swept = override.value()
    if isinstance(swept, Glob):
        names = swept.filter(list(search_path.options(override.key_or_group)))
        if not names:
            raise WrongOverride("matches no option")
        yield from names
        return
    if isinstance(swept, RangeSweep):
        check_range(swept)
    if isinstance(swept, ChoiceSweep):
        check_plain(swept.list)
    yield from override.sweep_string_iterator()


def check_range(swept: RangeSweep) -> None:
    """Refuse a range that names no values, or too many."""
    start, stop, step = swept.start, swept.stop, swept.step
    assert start is not None
    assert stop is not None
    if not all(map(math.isfinite, (start, stop, step))) or not step or not (stop - start) / step > 0:
        raise WrongOverride(
            "names no values: write range(START,STOP,STEP) with a step that leads from START to STOP"
        )
    if (stop - start) / step > MAX_POINTS:
        raise WrongOverride(f"names more than {MAX_POINTS} values")
