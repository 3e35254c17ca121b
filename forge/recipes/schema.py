"""What editors know of a recipe: one JSON Schema, derived from those of a spec.

A recipe is partial, so nothing is required of it and no condition between keys is held; any value may be a reference;
it cannot set what only the user may say, nor anything of hardware. The common subset of draft-07 and 2020-12, no
references between files: so every version of yaml-language-server reads it.
"""

from __future__ import annotations

import re
from typing import Any

from forge.recipes.names import recipe_names
from forge.spec.defaults import OWN_GROUPS
from forge.spec.schema import spec_schema
from forge.spec.search_path import HARDWARE_GROUP, SearchPath
from forge.spec.validate import NOT_GIVEN, TYPE_NAMES

EDITOR_SCHEMA_ID = "https://forge.example/schemas/recipe.json"

REFERENCE = r"^\$\{[A-Za-z][A-Za-z0-9_.-]*\}$"
ANY_REFERENCE = r"\$\{[A-Za-z][A-Za-z0-9_.-]*\}"
OF_A_PACK = r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*"

_PATTERN_SAYS = "patternErrorMessage"
"""What editors say of text that does not match; validators know no such keyword and pass it over."""

_KEPT = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "uniqueItems",
)


def recipe_schema(search_path: SearchPath) -> dict[str, Any]:
    """Return the schema of a recipe that may choose and extend what `search_path` finds."""
    root = spec_schema().root
    properties = {
        name: _recipe_node(node) for name, node in root["properties"].items() if name != HARDWARE_GROUP
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": EDITOR_SCHEMA_ID,
        "title": "Recipe",
        "description": "Chooses an option of each group, extends other recipes, and sets what differs.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "defaults": _defaults(search_path),
            **{name: node for name, node in properties.items() if node is not None},
        },
    }


def _defaults(search_path: SearchPath) -> dict[str, Any]:
    choices = {
        f"override /{group}": {
            "description": spec_schema().root["properties"][group]["description"],
            **_option(group, search_path),
        }
        for group in spec_schema().groups
        if group not in OWN_GROUPS
    }
    return {
        "description": "First the recipes it extends, then the options it chooses.",
        "type": "array",
        "items": {
            "anyOf": [
                {
                    "description": "A recipe that this one extends.",
                    "type": "string",
                    "enum": recipe_names(search_path),
                },
                {"type": "string", "pattern": "^/?[A-Za-z0-9][A-Za-z0-9_./-]*$"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                    "properties": choices,
                },
            ]
        },
    }


def _option(group: str, search_path: SearchPath) -> dict[str, Any]:
    options = search_path.options(group)
    others = OF_A_PACK
    if group == HARDWARE_GROUP:
        # Of machines any number has a name (forge.spec.machine_names); options show one and eight of each GPU.
        chips = [name.removeprefix("1x") for name in options if name.startswith("1x")]
        others = f"([1-9][0-9]*x)?[1-9][0-9]*x({'|'.join(map(re.escape, chips))})|{OF_A_PACK}"
    return {"anyOf": [{"enum": list(options)}, {"type": "string", "pattern": f"^({others})$"}]}


def _recipe_node(node: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a recipe may say at a key, None where it may say nothing."""
    if node.get("x-forge-later"):
        return {**_said(node), "const": NOT_GIVEN}
    if node.get("x-forge-trusted"):
        return None
    if "properties" in node:
        inner = {name: _recipe_node(child) for name, child in node["properties"].items()}
        return {
            **_said(node),
            "type": "object",
            "additionalProperties": False,
            "properties": {name: child for name, child in inner.items() if child is not None},
        }
    return {**_said(node), **_value(node)}


def _said(node: dict[str, Any]) -> dict[str, Any]:
    """Return what an editor shows of a key: title, meaning, unit, and what it is where nobody sets it."""
    said: dict[str, Any] = {key: node[key] for key in ("title", "description", "default") if key in node}
    if "x-forge-unit" in node:
        said["description"] = f"{node['description']} Unit: {node['x-forge-unit']}."
    return said


def _value(node: dict[str, Any]) -> dict[str, Any]:
    if "enum" in node:
        return {"anyOf": [{"enum": node["enum"]}, {"type": "string", "pattern": REFERENCE}]}
    kinds = [node["type"]] if isinstance(node["type"], str) else list(node["type"])
    value: dict[str, Any] = {key: node[key] for key in _KEPT if key in node}
    if "string" not in kinds:
        # A pattern holds for text alone: the one text that may stand here is a reference.
        wanted = " or ".join(TYPE_NAMES[kind] for kind in kinds)
        value |= {"pattern": REFERENCE, _PATTERN_SAYS: f"Is not {wanted}."}
        kinds.append("string")
    elif "pattern" in node:
        value |= {
            "pattern": f"{node['pattern']}|{ANY_REFERENCE}",
            _PATTERN_SAYS: f"Must be {node['x-forge-form']}.",
        }
    value["type"] = kinds[0] if len(kinds) == 1 else kinds
    if isinstance(node.get("items"), dict):
        value["items"] = _item(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        value["additionalProperties"] = _item(node["additionalProperties"])
    elif "additionalProperties" in node:
        value["additionalProperties"] = node["additionalProperties"]
    return value


def _item(node: dict[str, Any]) -> dict[str, Any]:
    if "properties" in node:
        properties = {name: {**_said(child), **_value(child)} for name, child in node["properties"].items()}
        required = node.get("required", [])
        return {
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": properties,
        }
    return _value(node) if "type" in node else {key: node[key] for key in ("enum",) if key in node}
