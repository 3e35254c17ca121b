"""Show a composed spec: as YAML with the place that set each value, and the chain of places behind one key."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from forge.errors import SpecError
from forge.spec.hints import no_such_key
from forge.spec.problems import COMMAND_LINE, Problem
from forge.spec.safe_yaml import scalar_value
from forge.spec.schema import SpecSchema, spec_schema
from forge.spec.text import printable
from forge.spec.types import KeyPath, Origin, Spec, dotted

INDENT = "  "
COMMENT_COLUMN = 48

_FLOAT_WITHOUT_POINT = re.compile(r"\A(-?\d+)(e[+-]\d+)\Z")


def spec_to_yaml(spec: Spec) -> str:
    """Return the composed spec as YAML, each value with the place that set it as a comment behind it.

    Reading the text gives the spec's values again, by forge's YAML and by any other of YAML 1.1 or 1.2.
    """
    lines: list[str] = []
    for key, value in spec.values.items():
        if isinstance(value, dict):
            chosen = spec.choice_origins.get(key)
            comment = f"{chosen[0].value}, {chosen[0].where}" if chosen else ""
            lines += ["", _commented(f"{key}:", comment)]
            lines += _mapping(value, (key,), spec)
        else:
            lines += _entry(value, (key,), spec)
    return "\n".join(lines).lstrip("\n") + "\n"


def origins_to_json(spec: Spec) -> str:
    """Return who set each value, as JSON: for each key the places that set it, in force first, with what they set.

    A group's name stands for the choice of its option.
    """
    chains = {(group,): chain for group, chain in spec.choice_origins.items()} | spec.origins
    content = {
        dotted(key): [{"where": origin.where, "value": origin.value} for origin in chain]
        for key, chain in chains.items()
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def explain(spec: Spec, key: str) -> list[str]:
    """Return, for `--why KEY`, the value in force and every place that set it, in force first.

    A group stands for all its keys, and for the places that chose its option.

    Raises:
        SpecError: the spec has no such key.
    """
    path = tuple(key.split("."))
    keys = [leaf for leaf in _in_order(spec) if leaf[: len(path)] == path]
    if not keys:
        raise SpecError(str(Problem(COMMAND_LINE, 0, f"{key}: {_unknown(path, spec_schema())}")))
    lines: list[str] = []
    if path[0] in spec.choice_origins and len(path) == 1:
        lines += _chain(f"{key} = {spec.choices[key]}", spec.choice_origins[key])
    for leaf in keys:
        lines += _chain(f"{dotted(leaf)} = {yaml_scalar(_value(spec, leaf))}", spec.origins.get(leaf, ()))
    return lines


def yaml_scalar(value: Any) -> str:
    """Return a value on one line of YAML: scalars as they are written in conf/, lists and mappings in brackets."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_scalar(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(yaml_scalar(item) for item in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        # YAML 1.1 takes 1e-05 for text: its floats have a point.
        return _FLOAT_WITHOUT_POINT.sub(r"\1.0\2", repr(value))
    return json.dumps(value)


def _text(value: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_./-][A-Za-z0-9_./ -]*", value) is not None and value == value.strip()
    if plain and scalar_value(value, quoted=False) == value and yaml.safe_load(value) == value:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else _escaped(character) for character in quoted)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _mapping(values: dict[str, Any], path: KeyPath, spec: Spec) -> list[str]:
    return [line for key, value in values.items() for line in _entry(value, (*path, key), spec)]


def _entry(value: Any, path: KeyPath, spec: Spec) -> list[str]:
    indent = INDENT * (len(path) - 1)
    if isinstance(value, dict) and value:
        return [f"{indent}{path[-1]}:", *_mapping(value, path, spec)]
    origin = spec.origins.get(path)
    where = origin[0].where if origin else ""
    if isinstance(value, list) and len(value) > 1:
        items = [f"{indent}{INDENT}- {yaml_scalar(item)}" for item in value]
        return [_commented(f"{indent}{path[-1]}:", where), *items]
    return [_commented(f"{indent}{path[-1]}: {yaml_scalar(value)}", where)]


def _commented(line: str, comment: str) -> str:
    return f"{line:<{COMMENT_COLUMN}}  # {printable(comment)}" if comment else line


def _chain(title: str, origins: tuple[Origin, ...]) -> list[str]:
    width = max((len(origin.where) for origin in origins), default=0)
    return [title, *(f"{INDENT}{origin.where:<{width}}  {yaml_scalar(origin.value)}" for origin in origins)]


def _in_order(spec: Spec) -> list[KeyPath]:
    """Return the leaves in the order of the composed tree."""

    def leaves(tree: dict[str, Any], path: KeyPath) -> list[KeyPath]:
        found: list[KeyPath] = []
        for key, value in tree.items():
            below = (*path, key)
            found += leaves(value, below) if isinstance(value, dict) and value else [below]
        return found

    return leaves(spec.values, ())


def _value(spec: Spec, path: KeyPath) -> Any:
    node: Any = spec.values
    for part in path:
        node = node[part]
    return node


def _unknown(path: KeyPath, schema: SpecSchema) -> str:
    """Return why nothing is known of `path`: the schema has no such key, or this spec leaves it out."""
    return "is not set" if schema.node(path) else no_such_key(path, schema)
