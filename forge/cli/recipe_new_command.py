"""`forge recipe new`: a recipe of one's own, begun."""

from __future__ import annotations

from typing import Annotated

import typer

from forge.recipes.starting import start_recipe
from forge.spec.search_path import default_search_path


def recipe_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it will be called.")],
    base: Annotated[str, typer.Option("--from", metavar="RECIPE", help="The recipe that it extends.")],
) -> None:
    """Begin a recipe in ./recipes that extends another: forge recipe new ours --from legal_1b"""
    file = start_recipe(name, base, default_search_path())
    print(f"written to {file}: edit it, then: forge plan recipe={name}")
