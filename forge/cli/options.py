"""What a command line holds besides its options: Hydra overrides, in any order with them."""

from __future__ import annotations

from typing import Annotated

import typer

from forge.cli.usage import no_such_option
from forge.errors import SpecError
from forge.spec.search_path import RECIPE_GROUP

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[OVERRIDE]...", help="recipe=NAME, GROUP=OPTION, KEY=VALUE.", show_default=False),
]


def recipe_override(name: str) -> str:
    """Return the override that chooses a recipe of this name; typed as one, it stays as it is."""
    return name if name.lstrip("+").startswith(f"{RECIPE_GROUP}=") else f"{RECIPE_GROUP}={name}"


def overrides_of(context: typer.Context, overrides: list[str] | None) -> list[str]:
    """Return the overrides of a command line.

    Raises:
        SpecError: a word looks like an option and is none.
    """
    words = [*(overrides or ()), *context.args]
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise SpecError(*(no_such_option(word, context.command.params) for word in unknown))
    return words
