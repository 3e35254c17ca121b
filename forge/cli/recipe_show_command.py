"""`forge recipe show`: what a recipe says, whom it is for, and what it takes on the hardware chosen."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from forge.cli.compiling import compile_spec
from forge.cli.console import make_console
from forge.cli.notes import show_notes
from forge.cli.options import Overrides, overrides_of, recipe_override
from forge.cli.pack_view import show_evidence
from forge.plan.machine import probe_machine
from forge.recipes.evidence import installed_evidence
from forge.spec.compose import compose_spec
from forge.spec.search_path import RECIPE_GROUP, default_search_path
from forge.spec.show import spec_to_yaml


def recipe_show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="The recipe.")],
    overrides: Overrides = None,
) -> None:
    """Show a recipe, every value with its place, and what it takes: forge recipe show legal_7b hardware=8xh100"""
    search_path = default_search_path()
    tokens = [recipe_override(name), *overrides_of(context, overrides)]
    spec = compose_spec(tokens, search_path)
    console = make_console()
    *bases, recipe = spec.recipes
    file = search_path.find(f"{RECIPE_GROUP}/{recipe}")
    assert file is not None
    extends = f", extends {', '.join(reversed(bases))}" if bases else ""
    console.print(f"{recipe}: {file.shown}{extends}", markup=False, soft_wrap=True)
    if file.document.comment:
        console.print(file.document.comment, markup=False)
    sys.stdout.write(f"\n{spec_to_yaml(spec)}\n")
    sys.stdout.flush()
    compiled = compile_spec(spec, probe_machine(), needs_data=False)
    show_notes((*compiled.notes, *compiled.plan.estimates.warnings))
    from forge.cli.plan_view import plan_screen

    plan_screen(compiled, console)
    show_evidence(installed_evidence(recipe))
