"""Hold a composed spec to its schema, and say each mistake in one line at the place that made it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from forge.spec.hints import did_you_mean, no_such_key
from forge.spec.problems import Problem, problem_at
from forge.spec.references import referred
from forge.spec.safe_yaml import scalar_value
from forge.spec.schema import SPEC_SCHEMA, SpecSchema, validator
from forge.spec.text import shown
from forge.spec.types import KeyPath, Origins, dotted, origin_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

TYPE_NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}
NOT_GIVEN = "???"
"""How Hydra's users write a value that someone else must give."""


def check_values(
    values: dict[str, Any],
    origins: Origins,
    unresolved: Iterable[KeyPath],
    schema: SpecSchema,
    *,
    incomplete: bool = False,
) -> tuple[list[Problem], set[KeyPath]]:
    """Return every problem of `values`, and every key whose value cannot be used.

    Args:
        values: the composed tree, references resolved.
        origins: who set each value.
        unresolved: keys whose references are reported already: nothing is said of them.
        schema: of the spec.
        incomplete: a file or the command line is known to be wrong, so nothing is said of keys that are missing.
    """
    refused = set(unresolved)
    problems: list[Problem] = []

    for find in (_trust_problems, _not_given, _unusable_numbers):
        for key, message in list(find(values, origins, schema)):
            if key not in refused:
                problems.append(problem_at(origin_of(origins, key), f"{dotted(key)}: {message}"))
                refused.add(key)
    silent = set(refused)
    found = [
        finding
        for error in validator(SPEC_SCHEMA).iter_errors(values)
        for finding in _messages(error, schema)
    ]
    for key, item, message in found:
        if key not in silent and not (incomplete and message.startswith("is missing")):
            where = origin_of(origins, key)
            problems.append(problem_at(where, f"{dotted(key)}{item}: {message}{_over(origins, key)}"))
        # A key that is not declared may have been meant for any other of its group.
        refused.add(key if schema.node(key) else key[:-1] or key)
    return problems, refused


def _over(origins: Origins, key: KeyPath) -> str:
    """Return ` (over FILE:LINE)`, the place whose value was replaced by a wrong one."""
    chain = origins.get(key, ())
    return f" (over {chain[1].where})" if len(chain) > 1 and chain[1].where != chain[0].where else ""


def _messages(error: ValidationError, schema: SpecSchema) -> Iterator[tuple[KeyPath, str, str]]:
    """Turn one schema error into (key, which item of its list, message)."""
    path, item, node = _place(error, schema)
    keyword = str(error.validator)
    limit: Any = error.validator_value
    value: Any = error.instance
    if keyword == "additionalProperties":
        names = node.get("properties", {})
        for name in sorted(set(value) - set(names)):
            if item:
                yield path, f"{item}.{name}", f"no such key: it has {', '.join(names)}"
            else:
                yield (*path, name), "", no_such_key((*path, name), schema)
    elif keyword == "required":
        for name in sorted(set(limit) - set(value)):
            if item:
                yield path, f"{item}.{name}", "is missing: give one"
            else:
                yield (*path, name), "", "is missing: the option chosen for its group does not set it"
    else:
        yield path, item, _message(keyword, limit, value, path, node) + _condition(error, schema)


def _place(error: ValidationError, schema: SpecSchema) -> tuple[KeyPath, str, dict[str, Any]]:
    """Return the key an error is at, where inside its list (`[1].fraction`), and the schema of what is there."""
    path: KeyPath = ()
    item = ""
    node: Any = schema.root
    for part in error.absolute_path:
        if isinstance(part, int):
            item += f"[{part}]"
            # A list of plain values says what they may be at the key itself.
            node = node.get("items", {}) if "properties" in node.get("items", {}) else node
        elif item:
            item += f".{part}"
            node = node.get("properties", {}).get(part, {})
        else:
            path = (*path, part)
            node = schema.node(path) or {}
    return path, item, node


def _message(keyword: str, limit: Any, value: Any, path: KeyPath, node: dict[str, Any]) -> str:
    if keyword == "type":
        if "x-forge-form" in node:
            return f"{shown(value)} must be {node['x-forge-form']}"
        kinds = [limit] if isinstance(limit, str) else list(limit)
        remedy = ""
        if "string" in kinds and isinstance(value, (bool, int, float)):
            remedy = ": put it in quotes"
        elif (
            isinstance(value, str)
            and {"integer", "number"} & set(kinds)
            and (number := _LETTERED.match(value))
        ):
            remedy = f": write {number['number']}e{_POWERS[number['letter'].lower()]}"
        elif isinstance(value, str) and not isinstance(scalar_value(value, quoted=False), str):
            remedy = ": drop its quotes" if value else ": give one"
        return f"{shown(value)} is not {' or '.join(TYPE_NAMES[kind] for kind in kinds)}{remedy}"
    if keyword == "enum":
        hint = did_you_mean(value, map(str, limit)) if isinstance(value, str) else ""
        return f"{shown(value)} is not one of {', '.join(map(str, limit))}{'.' + hint if hint else ''}"
    if keyword == "pattern":
        return f"{shown(value)} must be {node['x-forge-form']}"
    return _limit_message(keyword, limit, value, node)


_POWERS = {"k": 3, "m": 6, "b": 9, "g": 9, "t": 12}
_LETTERED = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<letter>[kmbgt])\Z", re.IGNORECASE)
"""`1B`, `1.5M`: how papers write a number of tokens."""


def _limit_message(keyword: str, limit: Any, value: Any, node: dict[str, Any]) -> str:
    unit = node.get("x-forge-unit", "fraction")
    give = "name a file or folder" if node.get("x-forge-path") else "give one"
    measured = shown(value) if unit == "fraction" else f"{shown(value)} {unit}"
    return {
        "const": f"{shown(value)} must be {shown(limit)}",
        "minimum": f"{measured} is below the least allowed, {limit}",
        "maximum": f"{measured} is above the most allowed, {limit}",
        "exclusiveMinimum": f"{shown(value)} must be above {limit}",
        "exclusiveMaximum": f"{shown(value)} must be below {limit}",
        "minLength": f"is shorter than {limit} characters" if value else f"is empty: {give}",
        "maxLength": f"is longer than {limit} characters",
        "minItems": f"is an empty list: {give}",
        "maxItems": f"has more than {limit} items",
        "uniqueItems": f"{shown(value)} holds the same item twice",
    }[keyword]


def _condition(error: ValidationError, schema: SpecSchema) -> str:
    """Return ` where model.family is mixtral` for an error that a condition between keys brought about."""
    where = list(error.absolute_schema_path)
    branch = next((part for part in ("then", "else") if part in where), None)
    if branch is None:
        return ""
    group = str(error.absolute_path[0])
    conditional = schema.root["properties"][group]["allOf"][where[where.index(branch) - 1]]
    name, test = next(iter(conditional["if"]["properties"].items()))
    relation = "is" if branch == "then" else "is not"
    tested = " or ".join(map(str, test.get("enum", [test.get("const")])))
    return f" where {group}.{name} {relation} {tested}"


def _not_given(values: dict[str, Any], origins: Origins, schema: SpecSchema) -> Iterator[tuple[KeyPath, str]]:
    """Values that a file leaves to whoever comes after it; a plan can be made before some of them are given."""
    for key, chain in origins.items():
        if chain[0].value == NOT_GIVEN and not (schema.node(key) or {}).get("x-forge-later"):
            yield key, f"{NOT_GIVEN} stands for a value that has to be given: set {dotted(key)}"


def _unusable_numbers(
    values: dict[str, Any], origins: Origins, schema: SpecSchema
) -> Iterator[tuple[KeyPath, str]]:
    """Numbers that pass every minimum and maximum of a schema, and none that can be computed with."""
    for key, number in _floats(values, ()):
        if not math.isfinite(number):
            yield key, f"{number} is not a finite number"


def _floats(tree: Any, path: KeyPath) -> Iterator[tuple[KeyPath, float]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _floats(value, (*path, str(key)))
    elif isinstance(tree, list):
        for value in tree:
            yield from _floats(value, path)
    elif isinstance(tree, float):
        yield path, tree


def _trust_problems(
    values: dict[str, Any], origins: Origins, schema: SpecSchema
) -> Iterator[tuple[KeyPath, str]]:
    """What only the user may say, said by a recipe; and what a recipe must leave to the hardware it chooses."""
    for key, chain in origins.items():
        node = schema.node(key) or {}
        if chain[0].trust != "recipe":
            continue
        if key[0] == "hardware" and node:
            yield (
                key,
                "a recipe chooses hardware and sets nothing in it: drop the line, or set it on the command line",
            )
        elif node.get("x-forge-trusted") and not (node.get("x-forge-later") and chain[0].value == NOT_GIVEN):
            yield key, "may be set on the command line or in one's own conf, not in a recipe"
        elif users := sorted(filter(lambda name: _is_users(name, schema), referred(chain[0].value))):
            yield key, f"refers to {users[0]}, which is the user's: write a value"
        elif node.get("x-forge-path"):
            # The resolved value: a reference could bring a path from a key that may hold any text.
            value: Any = values
            for part in key:
                value = value[part]
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, str) and _leaves_the_folder(path):
                    yield (
                        key,
                        f"{shown(path)} leaves the working folder, which a recipe may not: "
                        f"give {dotted(key)} on the command line",
                    )
                    break


def _is_users(name: str, schema: SpecSchema) -> bool:
    return bool((schema.node(tuple(name.split("."))) or {}).get("x-forge-trusted"))


def _leaves_the_folder(path: str) -> bool:
    inner = path.removeprefix("package:").replace("\\", "/")
    return inner.startswith(("/", "~")) or ":" in inner or ".." in inner.split("/")
