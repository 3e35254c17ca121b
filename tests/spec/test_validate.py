from __future__ import annotations

import copy
from typing import Any

import pytest

from forge.spec.schema import spec_schema
from forge.spec.types import KeyPath, Origin, Origins, dotted
from forge.spec.validate import check_values
from tests.spec.workspace import Workspace

SCHEMA = spec_schema()
ODD: list[Any] = [-1e300, -1, 0, 1, 2.5, 1e300, 10**39, True]
ODD += [None, "", "x" * 20_000, [], [[]], ["x", "x"], {}, {"a": 1}]


def _values(changes: dict[str, Any]) -> dict[str, Any]:
    """Return a good spec of the schemas' defaults with changes."""
    values: dict[str, Any] = {}
    for key, node in SCHEMA.leaves.items():
        _set(values, key, copy.deepcopy(node["default"]))
    for name, value in changes.items():
        _set(values, tuple(name.split(".")), value)
    return values


def _set(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _check(changes: dict[str, Any], **options: Any) -> tuple[list[str], set[KeyPath]]:
    origins: Origins = {}
    for line, (name, value) in enumerate(changes.items(), 1):
        origins[tuple(name.split("."))] = (Origin(f"conf.yaml:{line}", "conf", value),)
    problems, refused = check_values(_values(changes), origins, (), SCHEMA, **options)
    return [str(problem) for problem in problems], refused


def test_a_good_spec_has_no_problem() -> None:
    assert _check({}) == ([], set())


def test_the_keys_that_cannot_be_used_are_named() -> None:
    _, refused = _check({"seed": -1, "train.weight_decay": float("nan"), "model.depth": 2})
    assert refused == {("seed",), ("train", "weight_decay"), ("model",)}


def test_what_is_reported_already_is_passed_over() -> None:
    values = _values({"seed": None})
    problems, refused = check_values(values, {}, {("seed",)}, SCHEMA)
    assert problems == []
    assert refused == {("seed",)}


def test_a_key_that_is_missing_is_passed_over_where_more_is_known_to_be_wrong() -> None:
    values = _values({})
    del values["train"]["tokens"]
    problems, refused = check_values(values, {}, (), SCHEMA)
    assert [str(problem) for problem in problems] == [
        "spec: train.tokens: is missing: the option chosen for its group does not set it"
    ]
    assert check_values(values, {}, (), SCHEMA, incomplete=True) == ([], refused)
    assert refused == {("train", "tokens")}


def test_one_wrong_number_is_told_once() -> None:
    lines, _ = _check({"train.sequence_length": float("inf")})
    assert lines == ["conf.yaml:1: train.sequence_length: inf is not a finite number"]


def test_a_number_deep_in_a_list_is_seen() -> None:
    lines, _ = _check({"data.metadata_allow": {"a": [float("nan")]}})
    assert lines == ["conf.yaml:1: data.metadata_allow.a: nan is not a finite number"]


@pytest.mark.parametrize("group", SCHEMA.groups)
def test_every_declared_limit_has_its_words(group: str) -> None:
    """No keyword of a schema may lead to an exception in place of a line."""
    for key, node in SCHEMA.leaves.items():
        if key[0] != group:
            continue
        for value in ODD:
            lines, refused = _check({dotted(key): value})
            assert bool(lines) == bool(refused), (key, node, value)
            assert all("\n" not in line and len(line) < 400 for line in lines)


@pytest.mark.parametrize(
    ("recipe", "refused"),
    [
        ("docs", False),
        ("docs/deeper", False),
        ("./docs", False),
        ("package:acme/data", False),
        ("a..b/c", False),
        ("/docs", True),
        ("~", True),
        ("~user/docs", True),
        ("..", True),
        ("docs/..", True),
        ("docs\\\\..\\\\x", True),
        ("\\\\\\\\server\\\\share", True),
        ("C:/docs", True),
        ("file:///etc", True),
        ("package:../x", True),
        ("package:/etc", True),
        ("package:package:x", True),
    ],
)
def test_where_a_recipe_may_read(workspace: Workspace, recipe: str, refused: bool) -> None:
    workspace.write("recipes/x.yaml", f'data:\n  path: "{recipe}"\n')
    lines = workspace.complaints("recipe=x")
    assert bool(lines) == refused
    assert all("leaves the working folder" in line for line in lines)


@pytest.mark.parametrize("path", ["/docs", "~/docs", "../docs", "C:\\docs"])
def test_the_command_line_and_one_s_own_conf_may_read_anywhere(workspace: Workspace, path: str) -> None:
    assert workspace.compose(f"data.path={path}").values["data"]["path"] == path
    workspace.write("my_conf/data/mine.yaml", f"defaults:\n  - folder\npath: {path}\n")
    assert workspace.compose("data=mine").values["data"]["path"] == path


def test_a_user_s_value_over_a_recipe_s_forbidden_one_is_the_user_s(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "data:\n  path: /etc\nhardware:\n  nodes: 1\n")
    spec = workspace.compose("recipe=x", "data.path=/docs", "hardware.nodes=1")
    assert spec.values["data"]["path"] == "/docs"
