"""Give a complaint about a composed spec the place that set the value it names."""

from __future__ import annotations

from forge.spec.problems import problem_at
from forge.spec.types import Spec


def located(spec: Spec, line: str) -> str:
    """Return `line`, which begins with a key or `GROUP=OPTION` and a colon, with that value's place before it.

    A line that begins with anything else is returned as it is.
    """
    named = line.partition(": ")[0]
    group, chosen, _ = named.partition("=")
    if chosen and group in spec.choice_origins:
        return str(problem_at(spec.choice_origins[group][0].where, line))
    key = tuple(named.split("."))
    if key[0] in spec.values and " " not in named:
        return str(problem_at(spec.where(key), line))
    return line
