"""The JSON Schemas of a spec: which keys there are, what else they are called, what they may hold.

The schemas are closed and flat (no `oneOf`, every key declared once), so every error has one path. They are
resolved from one offline registry; a reference to anything else fails, never fetches.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forge.resources import data_dir
from forge.spec.types import KeyPath

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SPEC_SCHEMA = "spec"


@dataclass(frozen=True)
class SpecSchema:
    """The schema of a whole spec, with its groups' schemas in place of their references."""

    root: dict[str, Any]

    def node(self, key: KeyPath) -> dict[str, Any] | None:
        """Return the schema of `key`, or None where the spec has no such key."""
        node: Any = self.root
        for part in key:
            properties = node.get("properties", {})
            extra = node.get("additionalProperties")
            if part in properties:
                node = properties[part]
            elif isinstance(extra, dict):
                node = extra
            else:
                return None
        return node if isinstance(node, dict) else None

    def has_key(self, key: KeyPath) -> bool:
        """True where `key` names a value (not a whole group)."""
        node = self.node(key)
        return node is not None and "properties" not in node

    @functools.cached_property
    def groups(self) -> tuple[str, ...]:
        """The groups an option can be chosen for, in the order a spec has them."""
        return tuple(name for name, node in self.root["properties"].items() if "properties" in node)

    @functools.cached_property
    def leaves(self) -> dict[KeyPath, dict[str, Any]]:
        """Every declared key with its schema."""
        return dict(_leaves(self.root, ()))

    def keys(self) -> list[str]:
        """Return every declared key, dotted."""
        return [".".join(key) for key in self.leaves]

    def also_called(self, key: KeyPath) -> dict[str, str]:
        """Return other names for keys, spelled as someone may have typed them in `key`'s place.

        Other tools' names count first in the group they were typed in, then anywhere; so does a key's own name
        typed without its group, or in another one.
        """
        prefix = ".".join(key[:-1])
        names: dict[str, str] = {}
        for path, node in sorted(self.leaves.items(), key=lambda item: item[0][0] != key[0]):
            for name in (path[-1], *node.get("x-forge-also-called", ())):
                names.setdefault(f"{prefix}.{name}" if prefix else name, ".".join(path))
        return names


def _leaves(node: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        if "properties" in child:
            yield from _leaves(child, (*path, name))
        else:
            yield (*path, name), child


def load_schema_file(name: str) -> dict[str, Any]:
    """Return the content of `schemas/<name>.schema.json`."""
    text = (data_dir("schemas") / f"{name}.schema.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@functools.cache
def spec_schema() -> SpecSchema:
    """Return the schema of a spec."""
    root = load_schema_file(SPEC_SCHEMA)
    for group, node in root["properties"].items():
        if "$ref" in node:
            root["properties"][group] = load_schema_file(node["$ref"].removesuffix(".schema.json"))
    return SpecSchema(root)


@functools.cache
def validator(name: str) -> Validator:
    """Return a validator for `schemas/<name>.schema.json`; references resolve among forge's schemas only."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    files = [file.name.removesuffix(".schema.json") for file in data_dir("schemas").glob("*.schema.json")]
    resources = [Resource.from_contents(load_schema_file(file)) for file in sorted(files)]
    registry: Registry[Any] = Registry().with_resources(
        [(resource.id() or "", resource) for resource in resources]
    )
    return Draft202012Validator(load_schema_file(name), registry=registry)
