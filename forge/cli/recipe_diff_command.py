"""`forge recipe diff`: what two recipes do differently."""

from __future__ import annotations

from typing import Annotated

import typer

from forge.cli.compiling import compile_spec
from forge.cli.diff_view import show_asked, show_diff
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of, recipe_override
from forge.errors import FitError, UserError
from forge.plan.diff import diff_specs
from forge.plan.machine import probe_machine
from forge.plan.types import Plan
from forge.spec.compose import compose_spec
from forge.spec.types import Spec


def recipe_diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe.")],
    after: Annotated[str, typer.Argument(metavar="RECIPE", help="Another.")],
    overrides: Overrides = None,
) -> None:
    """Compare two recipes by what they mean, not by their text: forge recipe diff legal_1b legal_7b hardware=8xh100

    Where a recipe does not fit the hardware, what is asked is compared alone.
    """
    common = overrides_of(context, overrides)
    specs = {name: _spec(name, common) for name in (before, after)}
    try:
        plans = [_plan(name, spec) for name, spec in specs.items()]
    except FitError as error:
        hardware = specs[before].choices["hardware"]
        show_notes(
            [
                error.lines[0],
                f"compared by what is asked alone: hardware={hardware} does not fit: hardware=NAME names another",
            ]
        )
        show_asked(before, after, diff_specs(specs[before].values, specs[after].values))
        return
    show_diff(plans[0], plans[-1])


def _spec(name: str, common: list[str]) -> Spec:
    try:
        return compose_spec([recipe_override(name), *common])
    except UserError as error:
        raise _of(name, error) from None


def _plan(name: str, spec: Spec) -> Plan:
    try:
        compiled = compile_spec(spec, probe_machine(), needs_data=False)
    except UserError as error:
        raise _of(name, error) from None
    show_notes(compiled.spec.notes)
    return compiled.plan


def _of(name: str, error: UserError) -> UserError:
    """Return an error whose lines say of which recipe they speak."""
    return type(error)(*(line if name in line else f"{name}: {line}" for line in error.lines))
