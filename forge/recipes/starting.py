"""A recipe of one's own, begun: a file that extends another recipe, with what an editor needs to help with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from forge.errors import SpecError
from forge.files import replace_text
from forge.recipes.schema import EDITOR_SCHEMA_ID, recipe_schema
from forge.spec.compose import compose_spec
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, is_option_name
from forge.spec.show import yaml_scalar
from forge.spec.text import shown

FOLDER = Path("recipes")
EDITOR_SCHEMA = ".recipe.schema.json"
"""Lies beside the recipes, so that a folder of them that is shared brings it along."""

EXAMPLES = ("tokens", "learning_rate")
"""Of group `train`: what a recipe of one's own most often changes."""


def start_recipe(name: str, base: str, search_path: SearchPath) -> Path:
    """Write `recipes/NAME.yaml`, which extends recipe `base`, and the editor's schema beside it.

    Returns:
        The recipe's file. None that is there is ever changed.

    Raises:
        SpecError: the name cannot be one, or is taken; there is no such base, or it does not compose; the folder cannot
            be written to.
    """
    node = spec_schema().root["properties"]["name"]
    if not re.search(node["pattern"], name) or not is_option_name(name):
        raise SpecError(
            f"command line: {shown(name)}: a recipe's name is {node['x-forge-form']}, and no number"
        )
    taken = search_path.find(f"{RECIPE_GROUP}/{name}")
    if taken is not None:
        raise SpecError(f"{taken.shown}: is there already: choose another name")
    spec = compose_spec([f"{RECIPE_GROUP}={base}"], search_path)
    file = FOLDER / f"{name}.yaml"
    values = {key: spec.values["train"][key] for key in EXAMPLES if spec.values["train"][key] is not None}
    try:
        FOLDER.mkdir(exist_ok=True)
        _write_schema(FOLDER / EDITOR_SCHEMA, search_path)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(_text(name, spec.recipes[-1], values))
    except FileExistsError as error:
        raise SpecError(f"{error.filename}: is there already: choose another name, or move it") from None
    except OSError as error:
        raise SpecError(
            f"{error.filename or file}: cannot be written ({error.strerror}): go to another folder"
        ) from None
    return file


def _text(name: str, base: str, values: dict[str, object]) -> str:
    train = "\n".join(f"#   {key}: {yaml_scalar(value)}" for key, value in values.items())
    return f"""\
# yaml-language-server: $schema={EDITOR_SCHEMA}
# For WHOM: what it needs, what it costs.
defaults:
  - {base}

name: {name}
# What is to differ from {base}; all it sets: forge recipe show {name}
# train:
{train}
"""


def _write_schema(file: Path, search_path: SearchPath) -> None:
    """Write the schema of recipes that may choose what can be chosen here, unless somebody else's file has its name."""
    if file.exists() and not _is_ours(file):
        raise SpecError(f"{file}: is there and is not forge's: move it")
    replace_text(file, json.dumps(recipe_schema(search_path), indent=1, ensure_ascii=False) + "\n")


def _is_ours(file: Path) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("$id") == EDITOR_SCHEMA_ID
