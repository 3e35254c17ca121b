"""The names of the recipes that can be chosen, by listings of folders alone: a Tab asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from forge.spec.search_path import RECIPE_GROUP, SearchPath

MAX_DEPTH = 4
"""Folders inside folders of recipes."""


def recipe_names(search_path: SearchPath) -> list[str]:
    """Return the names of all recipes, those in folders and packs as `folder/name`, sorted."""
    return sorted({*_names_in(RECIPE_GROUP, search_path, MAX_DEPTH)})


def _names_in(group: str, search_path: SearchPath, depth: int) -> Iterator[str]:
    inside = group.partition("/")[2]
    for name in search_path.options(group):
        yield f"{inside}/{name}" if inside else name
    if depth:
        for folder in search_path.folders(group):
            yield from _names_in(f"{group}/{folder}", search_path, depth - 1)
