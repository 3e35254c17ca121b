"""The schema that editors know a recipe by: derived, committed, and in agreement with what forge says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator

from forge.recipes.schema import recipe_schema
from forge.resources import data_dir
from forge.spec.schema import spec_schema
from tests.spec.test_schemas import shipped

COMMITTED = data_dir("schemas") / "recipe.json"
SCHEMA = recipe_schema(shipped())
BOTH_DRAFTS = {
    "$schema", "$id", "title", "description", "default", "type", "enum", "const", "anyOf", "pattern",
    "additionalProperties", "required", "properties", "items", "minProperties", "maxProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "uniqueItems", "patternErrorMessage",
}  # fmt: skip


def complaints(recipe: str) -> list[str]:
    content = yaml.safe_load(recipe)
    found = {
        error.json_path
        for validator in (Draft7Validator, Draft202012Validator)
        for error in validator(SCHEMA).iter_errors(content)
    }
    return sorted(found)


def test_the_committed_schema_is_the_derived_one() -> None:
    written = json.dumps(SCHEMA, indent=1, ensure_ascii=False) + "\n"
    if not COMMITTED.is_file() or COMMITTED.read_text(encoding="utf-8") != written:
        COMMITTED.write_text(written, encoding="utf-8")
        pytest.fail("schemas/recipe.json was stale and has been written anew: commit it")


def test_it_uses_what_old_and_new_drafts_have_in_common() -> None:
    Draft7Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(SCHEMA)
    for node in _schemas(SCHEMA):
        assert set(node) <= BOTH_DRAFTS


@pytest.mark.parametrize("file", sorted(data_dir("recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_recipe_has_nothing_to_complain_of(file: Path) -> None:
    assert complaints(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("recipe", "where"),
    [
        ("train: {learning_rate: fast}", "$.train.learning_rate"),
        ("train: {lerning_rate: 1}", "$.train"),
        ("train: {optimizer: adam}", "$.train.optimizer"),
        ("train: {sequence_length: 0}", "$.train.sequence_length"),
        ("train: {phases: [{fraction: 0.5}]}", "$.train.phases[0]"),
        ("trian: {}", "$"),
        ("output_dir: /tmp", "$"),
        ("hardware: {gpus_per_node: 3}", "$"),
        ("model: {init_from: /etc}", "$.model.init_from"),
        ("evaluate: {rival_endpoint: 'http://127.0.0.1:9/v1'}", "$.evaluate"),
        ("defaults: [override /model: llama_8b]", "$.defaults[0]"),
        ("defaults: [override /hardware: 8xh10]", "$.defaults[0]"),
        ("defaults: [model: llama_7b]", "$.defaults[0]"),
        ("defaults: [override /hydra/launcher: joblib]", "$.defaults[0]"),
        ("name: Ours", "$.name"),
        ("seed: ${oc.env:HOME}", "$.seed"),
    ],
)
def test_a_mistake_is_found_where_it_stands(recipe: str, where: str) -> None:
    assert complaints(recipe) == [where]


@pytest.mark.parametrize(
    "recipe",
    [
        "train: {learning_rate: '${train.muon_learning_rate}', tokens: '${seed}', optimizer: '${name}'}",
        "evaluate: {prompts: '${data.languages}'}",
        "name: ${train.optimizer}-run",
        "model: {init_from: '???'}",
        "defaults: [ours, acme/legal_7b, /recipe/legal_1b, override /hardware: 16x4xh100, override /model: acme/small]",
        "data: {path: [documents, more], metadata_allow: {category: [a]}}",
    ],
)
def test_what_a_recipe_may_say_is_no_mistake(recipe: str) -> None:
    assert complaints(recipe) == []


def test_every_default_may_be_written_where_a_recipe_may_set_the_key() -> None:
    for key, node in spec_schema().leaves.items():
        if key[0] == "hardware" or node.get("x-forge-trusted"):
            continue
        values: Any = node["default"]
        for part in reversed(key):
            values = {part: values}
        assert not list(Draft7Validator(SCHEMA).iter_errors(values)), key


def _schemas(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    below = [
        *node.get("properties", {}).values(),
        *node.get("anyOf", ()),
        node.get("items"),
        node.get("additionalProperties"),
    ]
    for child in below:
        if isinstance(child, dict):
            yield from _schemas(child)
