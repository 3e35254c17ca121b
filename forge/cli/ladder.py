"""`sweep=ladder`: the small models that come before a run, each compiled as the run is."""

from __future__ import annotations

from collections.abc import Sequence

from forge.cli.compiling import Compiled
from forge.errors import SpecError
from forge.plan.compile import compile_plan
from forge.plan.ladder import Ladder, plan_ladder
from forge.plan.machine import Machine
from forge.spec.compose import compose_spec
from forge.spec.locate import located


def is_ladder(overrides: Sequence[str]) -> bool:
    """True where a command line asks for a ladder; False where it is wrong, of which whoever compiles it speaks."""
    try:
        return bool(compose_spec(overrides).values["sweep"]["method"] == "ladder")
    except SpecError:
        return False


def ladder_of(compiled: Compiled, machine: Machine) -> Ladder:
    """Return the ladder of a run, each rung compiled as the run is.

    Raises:
        SpecError: none can be made, with the place that asked for it.
    """
    hardware, sources = compiled.spec.choices["hardware"], compiled.plan.sources
    try:
        return plan_ladder(
            compiled.spec.values,
            compiled.plan,
            lambda values: compile_plan(values, hardware, machine, sources),
        )
    except SpecError as error:
        raise SpecError(*(located(compiled.spec, line) for line in error.lines)) from None
