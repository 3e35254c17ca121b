"""`forge recipe remove`: take an installed pack away."""

from __future__ import annotations

from typing import Annotated

import typer

from forge.recipes.install import remove_pack


def recipe_remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the pack.")],
) -> None:
    """Remove a pack, all its versions: forge recipe remove acme"""
    for version in remove_pack(name):
        print(f"removed {name} {version}")
