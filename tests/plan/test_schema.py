from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from forge.plan.types import Plan, plan_to_dict, plan_to_json
from forge.resources import data_dir
from forge.spec.schema import load_schema_file, validator
from tests.factories import tiny_plan
from tests.plan.specs import compiled

SCHEMA = load_schema_file("plan")
RECIPES = sorted(file.stem for file in data_dir("recipes").glob("*.yaml"))


def _objects(kind: type, node: dict[str, Any]) -> Iterator[tuple[type, dict[str, Any]]]:
    """Walk dataclass and schema together."""
    yield kind, node
    for name, hint in typing.get_type_hints(kind).items():
        child = node["properties"].get(name, {})
        if typing.get_origin(hint) is tuple:
            hint, child = typing.get_args(hint)[0], child.get("items", {})
        if dataclasses.is_dataclass(hint):
            yield from _objects(hint, child)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "node"), _objects(Plan, SCHEMA), ids=lambda item: getattr(item, "__name__", "")
)
def test_schema_and_types_have_the_same_fields(kind: type, node: dict[str, Any]) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    assert list(node["properties"]) == names
    assert node["required"] == names
    assert node["additionalProperties"] is False


@pytest.mark.parametrize(
    ("kind", "node"), _objects(Plan, SCHEMA), ids=lambda item: getattr(item, "__name__", "")
)
def test_schema_and_types_agree_on_what_a_field_holds(kind: type, node: dict[str, Any]) -> None:
    for name, hint in typing.get_type_hints(kind).items():
        declared = node["properties"][name]
        if typing.get_origin(hint) is typing.Literal:
            assert declared["enum"] == list(typing.get_args(hint)), name
        elif name != "format":
            assert _json_types(hint) == _as_set(declared["type"]), name


@pytest.mark.parametrize(
    ("kind", "node"), _objects(Plan, SCHEMA), ids=lambda item: getattr(item, "__name__", "")
)
def test_every_field_is_described_and_carries_the_unit_of_its_name(kind: type, node: dict[str, Any]) -> None:
    for name, declared in node["properties"].items():
        assert declared["title"], name
        assert declared["description"].endswith("."), name
        for suffix, unit in (
            ("_bytes", "bytes"),
            ("_s", "s"),
            ("_usd", "USD"),
            ("_tokens", "tokens"),
            ("_kwh", "kWh"),
        ):
            if name.endswith(suffix):
                assert declared["x-forge-unit"] == unit, name


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_a_plan_that_validates(recipe: str) -> None:
    plan = compiled(f"+recipe={recipe}", "hardware=8xh100" if recipe != "legal_tiny" else "hardware=cpu")
    assert not list(validator("plan").iter_errors(json.loads(plan_to_json(plan))))


def test_a_handmade_plan_validates() -> None:
    assert not list(validator("plan").iter_errors(plan_to_dict(tiny_plan())))


def test_an_unknown_field_does_not_validate() -> None:
    content = plan_to_dict(tiny_plan())
    content["layout"]["zero_stages"] = 3
    assert [error.validator for error in validator("plan").iter_errors(content)] == ["additionalProperties"]


def _json_types(hint: Any) -> set[str]:
    if isinstance(hint, types.UnionType):
        return set().union(*(_json_types(kind) for kind in typing.get_args(hint)))
    if dataclasses.is_dataclass(hint) or typing.get_origin(hint) is dict:
        return {"object"}
    if typing.get_origin(hint) is tuple:
        return {"array"}
    names = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
    return {names[hint]}


def _as_set(kinds: str | list[str]) -> set[str]:
    return {kinds} if isinstance(kinds, str) else set(kinds)
