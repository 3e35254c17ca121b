"""`forge recipe diff`: what two recipes do differently."""

from __future__ import annotations

from typing import Annotated

import typer

from forge.cli.compiling import compile_overrides
from forge.cli.diff_view import show_diff
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of, recipe_override
from forge.errors import UserError
from forge.plan.machine import probe_machine
from forge.plan.types import Plan


def recipe_diff(
    context: typer.Context,
    before: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe.")],
    after: Annotated[str, typer.Argument(metavar="RECIPE", help="Another.")],
    overrides: Overrides = None,
) -> None:
    """Compare two recipes by what they mean, not by their text: forge recipe diff legal_1b legal_7b hardware=8xh100"""
    common = overrides_of(context, overrides)
    show_diff(*(_plan(name, common) for name in (before, after)))


def _plan(name: str, common: list[str]) -> Plan:
    try:
        compiled = compile_overrides([recipe_override(name), *common], probe_machine(), needs_data=False)
    except UserError as error:
        raise type(error)(*(line if name in line else f"{name}: {line}" for line in error.lines)) from None
    show_notes(compiled.spec.notes)
    return compiled.plan
