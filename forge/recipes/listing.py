"""The recipes that can be chosen: what each is called, where it lies, whom it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from forge.errors import SpecError
from forge.recipes.names import recipe_names
from forge.resources import data_dir
from forge.spec.compose import compose_spec
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile

MOST_TRIED = 20
"""Recipes that are composed to see whether they can be used, 40 ms each; `forge recipe show` tries any."""

FORGE = "forge"


@dataclass(frozen=True, slots=True)
class ListedRecipe:
    """A recipe as lists show it."""

    name: str
    place: str
    """`forge` for one that forge ships, else the folder it lies in, or the pack."""
    whom: str
    """For whom it is, by its opening comment; why it cannot be read, where it cannot."""


def list_recipes(search_path: SearchPath) -> list[ListedRecipe]:
    """Return every recipe, by name; of two of one name the one that is chosen."""
    listed = []
    tried = 0
    for name in recipe_names(search_path):
        file = search_path.find(f"{RECIPE_GROUP}/{name}")
        if file is None:
            continue
        place, whom = _place(name, file, search_path), for_whom(file)
        if place != FORGE and not file.document.errors and tried < MOST_TRIED:
            tried += 1
            whom = _mistake(name, search_path) or whom
        listed.append(ListedRecipe(name, place, whom))
    return listed


def _mistake(name: str, search_path: SearchPath) -> str:
    """Return why a recipe cannot be used; '' where it can."""
    try:
        compose_spec([f"{RECIPE_GROUP}={name}"], search_path)
    except SpecError as error:
        more = f" (and {len(error.lines) - 1} more)" if len(error.lines) > 1 else ""
        return f"cannot be used: {error.lines[0]}{more}"
    return ""


def for_whom(file: SpecFile) -> str:
    """Return whom a recipe is for: what its opening comment says behind `For`, else the comment's first sentence."""
    if file.document.errors:
        line, what = file.document.errors[0]
        return f"cannot be used: line {line}: {what}"
    sentence = re.split(r"(?<=[^.\d])\.(?: |\Z)", file.document.comment, maxsplit=1)[0].rstrip(".")
    said = re.match(r"For (?P<whom>[^:]+)", sentence)
    return said["whom"].strip() if said else sentence


def _place(name: str, file: SpecFile, search_path: SearchPath) -> str:
    for root in search_path.roots:
        if root.trust == "recipe" and file.path == root.folder / f"{name}.yaml":
            if root.folder == data_dir("recipes"):
                return FORGE
            hides = " (hides forge's)" if search_path.shadowed(name) else ""
            return f"{root.label}{hides}"
    return f"pack {name.partition('/')[0]}"
