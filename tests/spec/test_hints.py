from __future__ import annotations

import pytest

from forge.spec.hints import did_you_mean, nearest, nearest_key, no_such_key, no_such_option
from forge.spec.schema import spec_schema
from tests.spec.workspace import Workspace

SCHEMA = spec_schema()


def test_the_nearest_is_found_whatever_the_case() -> None:
    assert nearest("8xH10", ["8xh100", "8xa100", "cpu"]) == "8xh100"
    assert nearest("zzz", ["8xh100", "cpu"]) is None
    assert nearest("x", []) is None
    assert did_you_mean("cosin", ["cosine", "linear"]) == " did you mean cosine?"
    assert did_you_mean("zzz", ["cosine", "linear"]) == ""


def test_a_very_long_word_costs_nothing() -> None:
    assert nearest("a" * 1_000_000, ["aaa", "b"]) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train.lerning_rate", "train.learning_rate"),
        ("train.LearningRate", "train.learning_rate"),
        ("trian.learning_rate", "train.learning_rate"),
        ("learning_rate", "train.learning_rate"),
        ("lerning_rate", "train.learning_rate"),
        ("model.learning_rate", "train.learning_rate"),
        ("model.lerning_rate", "train.learning_rate"),
        ("hardwar", "hardware"),
        ("recipes", "recipe"),
        ("sede", "seed"),
        # What other tools call it.
        ("train.lr", "train.learning_rate"),
        ("lr", "train.learning_rate"),
        ("train.max_steps", "train.steps"),
        ("train.block_size", "train.sequence_length"),
        ("model.num_hidden_layers", "model.layers"),
        ("model.n_embd", "model.hidden_size"),
        ("engine.gradient_checkpointing", "engine.activation_checkpointing"),
        ("hardware.gpus", "hardware.gpus_per_node"),
        ("engine.expert_model_parallel_size", "engine.expert_parallel_degree"),
        ("ep_size", "engine.expert_parallel_degree"),
        # The same name in two groups means that of the group it was typed in.
        ("train.batch_size", "train.global_batch_tokens"),
        ("engine.batch_size", "engine.micro_batch_sequences"),
        ("train.dtype", "train.precision"),
        ("export.dtyp", "export.dtype"),
    ],
)
def test_the_key_that_was_meant(typed: str, meant: str) -> None:
    assert nearest_key(tuple(typed.split(".")), SCHEMA) == meant
    assert no_such_key(tuple(typed.split(".")), SCHEMA) == f"no such key. did you mean {meant}?"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("engine.tensor_model_parallel_size", "tensor parallelism: weights are sharded"),
        ("engine.TP", "tensor parallelism: weights are sharded"),
        ("train.pipeline_parallel_degree", "pipeline parallelism: layers are sharded"),
    ],
)
def test_what_forge_does_not_do_is_said_and_not_mistaken_for_another_key(typed: str, says: str) -> None:
    message = no_such_key(tuple(typed.split(".")), SCHEMA)
    assert message.startswith(f"no such key. forge has no {says}")
    assert "did you mean" not in message


def test_a_key_like_none_is_answered_with_the_keys_of_its_group() -> None:
    names = ", ".join(SCHEMA.root["properties"]["export"]["properties"])
    assert no_such_key(("export", "zzz"), SCHEMA) == f"no such key. the keys of export are {names}"


@pytest.mark.parametrize("group", ["engine.deepspeed", "engine.deepspeed.zero_optimization"])
def test_a_key_like_none_of_an_inner_group_is_answered_with_that_groups_keys(group: str) -> None:
    path = tuple(group.split("."))
    node = SCHEMA.node(path)
    assert node is not None
    names = ", ".join(node["properties"])
    assert no_such_key((*path, "foo"), SCHEMA) == f"no such key. the keys of {group} are {names}"
    assert no_such_key((*path, "sub_group_sise"), SCHEMA).startswith("no such key. did you mean ")


def test_a_key_of_no_group_is_answered_with_the_groups() -> None:
    groups = ", ".join(SCHEMA.groups)
    assert no_such_key(("zzz",), SCHEMA) == f"no such key: a key is GROUP.KEY, and the groups are {groups}"


def test_a_key_below_a_value() -> None:
    assert (
        no_such_key(("train", "tokens", "x"), SCHEMA) == "no such key: train.tokens is a value, not a group"
    )


def test_an_option_is_answered_with_the_nearest_or_with_all(workspace: Workspace) -> None:
    path = workspace.search_path()
    assert no_such_option("hardware", "8h100", path) == "there is no hardware '8h100'. did you mean 8xh100?"
    assert no_such_option("train", "zzz", path) == "there is no train 'zzz'. there are: pretrain, short"
    assert no_such_option("recipe", "x", path) == "there is no recipe 'x'. there are none"


def test_a_recipe_in_a_folder_is_looked_for_there(workspace: Workspace) -> None:
    workspace.write("recipes/team/legal.yaml", "seed: 1\n")
    path = workspace.search_path()
    assert no_such_option("recipe", "team/leagl", path) == (
        "there is no recipe 'team/leagl'. did you mean team/legal?"
    )
