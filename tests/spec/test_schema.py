from __future__ import annotations

from typing import Any

import pytest
from referencing.exceptions import Unresolvable

from forge.spec import schema as module
from forge.spec.schema import SPEC_SCHEMA, load_schema_file, spec_schema, validator

SCHEMA = spec_schema()


def test_a_key_is_found_in_its_group() -> None:
    node = SCHEMA.node(("train", "learning_rate"))
    assert node is not None
    assert node["title"] == "Learning rate"


@pytest.mark.parametrize(
    "key", [("train", "lr"), ("nothing",), ("train", "tokens", "x"), ("name", "x"), ("",)]
)
def test_what_is_not_declared_has_no_schema(key: tuple[str, ...]) -> None:
    assert SCHEMA.node(key) is None
    assert not SCHEMA.has_key(key)


def test_a_group_is_a_node_but_no_key() -> None:
    assert SCHEMA.node(("train",)) is not None
    assert not SCHEMA.has_key(("train",))
    assert SCHEMA.has_key(("seed",))


def test_a_field_of_metadata_may_have_any_name() -> None:
    node = SCHEMA.node(("data", "metadata_allow", "category"))
    assert node is not None
    assert node["type"] == "array"


def test_groups_and_keys_come_in_the_order_of_the_schema() -> None:
    assert SCHEMA.groups == (
        "data",
        "tokenizer",
        "model",
        "hardware",
        "train",
        "engine",
        "evaluate",
        "export",
        "sweep",
        "launch",
        "track",
    )
    keys = SCHEMA.keys()
    assert keys[:3] == ["name", "seed", "output_dir"]
    assert keys.index("train.tokens") < keys.index("train.steps") < keys.index("engine.zero_stage")


def test_other_names_count_first_in_the_group_they_were_typed_in() -> None:
    assert SCHEMA.also_called(("train", "batch_size"))["train.batch_size"] == "train.global_batch_tokens"
    assert SCHEMA.also_called(("engine", "batch_size"))["engine.batch_size"] == "engine.micro_batch_sequences"
    assert SCHEMA.also_called(("lr",))["lr"] == "train.learning_rate"


def test_a_reference_to_anything_but_forge_s_schemas_is_never_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = {"$ref": "https://example.com/other.schema.json"}
    original = load_schema_file

    def with_a_foreign_one(name: str) -> dict[str, Any]:
        return foreign if name == "foreign" else original(name)

    monkeypatch.setattr(module, "load_schema_file", with_a_foreign_one)
    with pytest.raises(Unresolvable):
        list(validator.__wrapped__("foreign").iter_errors({}))


def test_the_references_between_forge_s_schemas_resolve() -> None:
    errors = [error.json_path for error in validator(SPEC_SCHEMA).iter_errors({"train": {"tokens": "x"}})]
    assert "$.train.tokens" in errors
