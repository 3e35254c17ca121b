"""Hold a composed spec to its schema, and say each mistake in one line at the place that made it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from forge.spec.problems import Problem, did_you_mean, problem_at
from forge.spec.schema import SPEC_SCHEMA, SpecSchema, validator
from forge.spec.types import KeyPath, Origin, dotted, origin_of

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Origins = dict[KeyPath, tuple[Origin, ...]]

_TYPE_NAMES = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def check_values(
    values: dict[str, Any], origins: Origins, unresolved: Iterable[KeyPath], schema: SpecSchema
) -> list[Problem]:
    """Return every problem of `values`, except at the keys in `unresolved`, which are reported already."""
    problems = dict(_trust_problems(origins, schema))
    skip = {*unresolved, *problems}
    found = list(problems.values())
    for key, number in _numbers(values, ()):
        if isinstance(number, float) and not math.isfinite(number):
            skip.add(key)
            found.append(_problem(origins, key, f"{number} is not a finite number"))
    for error in validator(SPEC_SCHEMA).iter_errors(values):
        for key, message in _messages(error, schema):
            if key not in skip:
                found.append(_problem(origins, key, message))
    return found


def shown(value: Any) -> str:
    """Return a value as messages show it: short, on one line."""
    text = repr(value) if isinstance(value, str) else "null" if value is None else str(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if len(text) <= 60 else text[:57] + "..."


def _problem(origins: Origins, key: KeyPath, message: str) -> Problem:
    chain = origins.get(key, ())
    over = f" (over {chain[1].where})" if len(chain) > 1 and chain[1].where != chain[0].where else ""
    return problem_at(origin_of(origins, key), f"{dotted(key)}: {message}{over}")


def _messages(error: ValidationError, schema: SpecSchema) -> Iterator[tuple[KeyPath, str]]:
    """Turn one schema error into (key, message) pairs."""
    path: KeyPath = tuple(part for part in error.absolute_path if isinstance(part, str))
    keyword = str(error.validator)
    limit: Any = error.validator_value
    value: Any = error.instance
    node = schema.node(path) or {}
    if keyword == "additionalProperties":
        declared = schema.node(path) or {}
        for name in sorted(set(value) - set(declared.get("properties", {}))):
            key = (*path, name)
            yield key, f"no such key.{did_you_mean(dotted(key), schema.keys(), schema.also_called(key))}"
    elif keyword == "type":
        yield path, _type_message(limit, value, path, node) + _condition(error, schema)
    elif keyword in ("enum", "const"):
        allowed = limit if keyword == "enum" else [limit]
        hint = did_you_mean(value, [str(item) for item in allowed]) if isinstance(value, str) else ""
        names = ", ".join(str(item) for item in allowed)
        what = (
            f"is not one of {names}" if keyword == "enum" else f"must be {names}{_condition(error, schema)}"
        )
        yield path, f"{shown(value)} {what}{'.' + hint if hint else ''}"
    elif keyword == "required":
        missing = sorted(set(limit) - set(value))
        for name in missing:
            yield (*path, name), "is missing: the option chosen for its group does not set it"
    elif keyword == "anyOf":
        yield path, f"{shown(value)} is neither auto nor a whole number of at least 1"
    elif keyword == "propertyNames":
        pass
    else:
        yield path, f"{shown(value)} {_limit_message(keyword, limit, node)}{_condition(error, schema)}"


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
    return f" where {group}.{name} {relation} {test['const']}"


def _type_message(expected: Any, value: Any, path: KeyPath, node: dict[str, Any]) -> str:
    kinds = [expected] if isinstance(expected, str) else list(expected)
    if "properties" in node:
        return f"{shown(value)} is not a mapping: set its keys, as {dotted(path)}.KEY"
    return f"{shown(value)} is not {' or '.join(_TYPE_NAMES[kind] for kind in kinds)}"


def _limit_message(keyword: str, limit: Any, node: dict[str, Any]) -> str:
    unit = node.get("x-forge-unit", "")
    unit = f" {unit}" if unit and unit != "fraction" else ""
    return {
        "minimum": f"is below the least allowed, {limit}{unit}",
        "maximum": f"is above the most allowed, {limit}{unit}",
        "exclusiveMinimum": f"must be above {limit}",
        "exclusiveMaximum": f"must be below {limit}",
        "minLength": "is empty",
        "maxLength": f"is longer than {limit} characters",
        "minItems": f"has fewer than {limit} items",
        "maxItems": f"has more than {limit} items",
        "uniqueItems": "holds the same item twice",
        "pattern": "must be small letters, digits, - and _, 64 at most, from a letter or digit",
    }[keyword]


def _numbers(tree: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _numbers(value, (*path, str(key)))
    elif isinstance(tree, list):
        for value in tree:
            yield from _numbers(value, path)
    elif isinstance(tree, float):
        yield path, tree


def _trust_problems(origins: Origins, schema: SpecSchema) -> Iterator[tuple[KeyPath, Problem]]:
    """What only the user may say, said by a recipe; and what a recipe must leave to the hardware it chooses."""
    for key, chain in origins.items():
        if chain[0].trust != "recipe":
            continue
        where, node = chain[0].where, schema.node(key) or {}
        if key[0] == "hardware" and schema.has_key(key):
            message = "a recipe chooses hardware and sets nothing in it: drop the line, or set it on the command line"
            yield key, problem_at(where, f"{dotted(key)}: {message}")
        elif node.get("x-forge-trusted"):
            message = "may be set on the command line or in one's own conf, not in a recipe"
            yield key, problem_at(where, f"{dotted(key)}: {message}")
        elif node.get("x-forge-path"):
            paths = chain[0].value if isinstance(chain[0].value, list) else [chain[0].value]
            for path in paths:
                if isinstance(path, str) and _leaves_the_folder(path):
                    message = (
                        f"{shown(path)} leaves the working folder, which a recipe may not: "
                        "give it on the command line"
                    )
                    yield key, problem_at(where, f"{dotted(key)}: {message}")


def _leaves_the_folder(path: str) -> bool:
    inner = path.removeprefix("package:").replace("\\", "/")
    return inner.startswith(("/", "~")) or ":" in inner or ".." in inner.split("/")
