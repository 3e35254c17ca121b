"""`forge recipe list`: the recipes that can be chosen, and whom each is for."""

from __future__ import annotations

from forge.spec.search_path import RECIPE_GROUP, default_search_path


def recipe_list() -> None:
    """Say what recipes there are."""
    for name in default_search_path().options(RECIPE_GROUP):
        print(name)
