"""The schema files are the reference documentation, and what ships in conf/ is what they say."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forge.resources import data_dir
from forge.spec.compose import compose_spec
from forge.spec.safe_yaml import parse
from forge.spec.schema import SPEC_SCHEMA, load_schema_file, spec_schema, validator
from forge.spec.search_path import Root, SearchPath
from forge.spec.types import KeyPath, dotted

SCHEMA = spec_schema()
FILES = [SPEC_SCHEMA, *SCHEMA.groups]
LEAVES = sorted(SCHEMA.leaves.items())

WITHOUT_UNIT = {
    "engine.deepspeed.gradient_predivide_factor",
    "seed",
    "model.rope_theta",
    "model.rms_norm_epsilon",
    "model.initializer_std",
    "train.learning_rate",
    "train.dpo_beta",
    "train.lora_alpha",
    "train.muon_learning_rate",
    "train.muon_momentum",
    "train.weight_decay",
    "train.adam_beta1",
    "train.adam_beta2",
    "train.adam_epsilon",
    "train.gradient_clip",
    "train.z_loss",
    "model.router_aux_loss_coef",
    "model.router_z_loss_coef",
    "evaluate.sample_temperature",
}
"""Numbers that are pure numbers in the field's own formulas."""

ANNOTATIONS = {
    "x-forge-unit",
    "x-forge-also-called",
    "x-forge-path",
    "x-forge-trusted",
    "x-forge-later",
    "x-forge-form",
}


def shipped() -> SearchPath:
    """Return forge's own conf and recipes, without the user's."""
    return SearchPath(
        (
            Root(data_dir("conf"), "", "conf", "conf"),
            Root(data_dir("recipes"), "recipe", "recipe", "recipes"),
        )
    )


OPTIONS = [(group, option) for group in SCHEMA.groups for option in shipped().options(group)]


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_valid_closed_and_flat(name: str) -> None:
    schema = load_schema_file(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"].endswith(f"/{name}.schema.json")
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == sorted(schema["properties"])
    assert schema["title"]
    assert schema["description"].endswith(".")
    for node in _nodes(schema):
        assert not node.keys() & {
            "oneOf",
            "anyOf",
            "not",
            "$defs",
            "patternProperties",
            "unevaluatedProperties",
        }
    assert set(schema) <= {
        "$schema", "$id", "title", "description", "type", "additionalProperties", "required", "properties", "allOf",
    }  # fmt: skip


@pytest.mark.parametrize("name", SCHEMA.groups)
def test_conditions_only_narrow_keys_that_are_declared(name: str) -> None:
    schema = load_schema_file(name)
    for condition in schema.get("allOf", ()):
        assert set(condition) <= {"if", "then", "else"}
        (tested,) = condition["if"]["properties"]
        assert condition["if"]["required"] == [tested]
        for branch in ("then", "else"):
            narrowed = condition.get(branch, {"properties": {}})
            assert set(narrowed) == {"properties"}
            assert set(narrowed["properties"]) <= set(schema["properties"])


@pytest.mark.parametrize(("key", "node"), LEAVES, ids=[dotted(key) for key, _ in LEAVES])
def test_a_key_is_documented(key: KeyPath, node: dict[str, Any]) -> None:
    assert node["title"][0].isupper()
    assert node["description"].rstrip("`").endswith(".")
    assert "default" in node
    assert {name for name in node if name.startswith("x-")} <= ANNOTATIONS
    kinds = {node["type"]} if isinstance(node.get("type"), str) else set(node.get("type", ()))
    if kinds & {"number", "integer"}:
        assert ("x-forge-unit" in node) != (dotted(key) in WITHOUT_UNIT)
        assert "minimum" in node or "exclusiveMinimum" in node
        assert "maximum" in node or "exclusiveMaximum" in node
    if "pattern" in node:
        assert "x-forge-form" in node
    if "enum" in node:
        assert node["default"] in node["enum"]
    assert not list(Draft202012Validator(node).iter_errors(node["default"]))


PASSED_ON = ("engine", "deepspeed")
"""Keys that go to DeepSpeed where a user sets them; no option does."""


@pytest.mark.parametrize(("key", "node"), LEAVES, ids=[dotted(key) for key, _ in LEAVES])
def test_a_default_is_what_a_spec_starts_from(key: KeyPath, node: dict[str, Any]) -> None:
    values: Any = _base()
    if key[:2] == PASSED_ON:
        assert (
            values["engine"]["deepspeed"] == {}
        )  # what is not said there is DeepSpeed's, or the compiler's, own
        return
    for part in key:
        values = values[part]
    assert values == node["default"]
    assert isinstance(values, bool) == isinstance(node["default"], bool)


def test_no_other_name_of_a_key_is_the_name_of_one_beside_it() -> None:
    for key, node in LEAVES:
        group = SCHEMA.root["properties"].get(key[0], {}).get("properties", {})
        for name in node.get("x-forge-also-called", ()):
            assert name not in group, f"{dotted(key)}: {name}"
            assert name == name.lower()


def test_no_two_keys_of_a_group_have_another_name_in_common() -> None:
    seen: dict[tuple[str, str], str] = {}
    for key, node in LEAVES:
        for name in node.get("x-forge-also-called", ()):
            assert seen.setdefault((key[0], name), dotted(key)) == dotted(key)


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=[f"{group}={option}" for group, option in OPTIONS])
def test_every_shipped_option_composes(group: str, option: str) -> None:
    spec = compose_spec([f"{group}={option}"], shipped())
    assert spec.choices[group] == option
    assert not list(validator(SPEC_SCHEMA).iter_errors(spec.values))


@pytest.mark.parametrize("recipe", shipped().options("recipe"))
def test_every_shipped_recipe_composes(recipe: str) -> None:
    spec = compose_spec([f"recipe={recipe}"], shipped())
    assert spec.recipes[-1] == recipe
    assert spec.values["name"] == recipe


def test_every_shipped_file_is_within_the_subset_and_says_what_it_is_for() -> None:
    files = [*data_dir("conf").rglob("*.yaml"), *data_dir("recipes").rglob("*.yaml")]
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("# "), file
        assert parse(text).errors == [], file


def test_defaults_compose_from_the_schemas_alone() -> None:
    values: dict[str, Any] = {}
    for key, node in SCHEMA.leaves.items():
        target = values
        for part in key[:-1]:
            target = target.setdefault(part, {})
        target[key[-1]] = node["default"]
    assert not list(validator(SPEC_SCHEMA).iter_errors(values))


@functools.cache
def _base() -> dict[str, Any]:
    return compose_spec([], shipped()).values


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child)
