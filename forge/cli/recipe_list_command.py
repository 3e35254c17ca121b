"""`forge recipe list`: the recipes that can be chosen, where each comes from, and whom it is for."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from forge.cli.console import UNBOUNDED, make_console
from forge.recipes.listing import list_recipes
from forge.spec.search_path import default_search_path


def recipe_list() -> None:
    """Say what recipes there are."""
    console = make_console()
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    table.add_column("from", no_wrap=True)
    table.add_column("for")
    for recipe in list_recipes(default_search_path()):
        table.add_row(*map(Text, (recipe.name, recipe.place, recipe.whom)))
    if not console.is_terminal:
        console.width = UNBOUNDED
    console.print(table)
