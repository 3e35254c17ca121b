from __future__ import annotations

from forge.spec.command_line import Setting
from forge.spec.origins import Replay, replay
from forge.spec.types import KeyPath, Origin, origin_of
from tests.spec.workspace import Workspace


def _replayed(workspace: Workspace, texts: list[str], settings: list[Setting]) -> Replay:
    files: list[tuple[object, KeyPath]] = []
    for number, text in enumerate(texts):
        workspace.write(f"recipes/r{number}.yaml", text)
    path = workspace.search_path()
    found = [path.find(f"recipe/r{number}") for number in range(len(texts))]
    files = [(file, ()) for file in found]
    return replay(files, settings)  # type: ignore[arg-type]


def _places(result: Replay, key: str) -> list[str]:
    return [origin.where for origin in result.origins[tuple(key.split("."))]]


def test_the_last_one_wins_and_the_others_are_remembered(workspace: Workspace) -> None:
    result = _replayed(
        workspace, ["train:\n  tokens: 1\n", "train: {tokens: 2}\n"], [Setting(("train", "tokens"), 3)]
    )
    assert result.values == {"train": {"tokens": 3}}
    assert result.origins == {
        ("train", "tokens"): (
            Origin("command line", "command line", 3, 2),
            Origin("recipes/r1.yaml:1", "recipe", 2, 1),
            Origin("recipes/r0.yaml:2", "recipe", 1, 0),
        )
    }


def test_conf_speaks_before_the_first_recipe(workspace: Workspace) -> None:
    spec = workspace.compose("seed=3")
    assert [origin.order for origin in spec.origins[("seed",)]] == [0, -1]
    assert all(chain[-1].order < 0 for chain in spec.origins.values())


def test_mappings_merge(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: {b: 1, c: {d: 2}}\n", "a:\n  c:\n    e: 3\n"], [])
    assert result.values == {"a": {"b": 1, "c": {"d": 2, "e": 3}}}
    assert _places(result, "a.c.d") == ["recipes/r0.yaml:1"]
    assert _places(result, "a.c.e") == ["recipes/r1.yaml:3"]


def test_a_list_replaces_a_list_whole(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: [1, 2, 3]\n", "a: [4]\n"], [])
    assert result.values == {"a": [4]}
    assert _places(result, "a") == ["recipes/r1.yaml:1", "recipes/r0.yaml:1"]


def test_a_value_in_place_of_a_mapping_forgets_what_was_below(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: {b: 1}\n", "a: null\n"], [])
    assert result.values == {"a": None}
    assert set(result.origins) == {("a",)}


def test_a_mapping_in_place_of_a_value_forgets_it(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: null\n", "a:\n  b: 1\n"], [])
    assert result.values == {"a": {"b": 1}}
    assert set(result.origins) == {("a", "b")}


def test_a_key_below_a_value_on_the_command_line_forgets_it(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: null\n"], [Setting(("a", "b"), 1)])
    assert result.values == {"a": {"b": 1}}
    assert set(result.origins) == {("a", "b")}


def test_an_empty_mapping_changes_a_value_but_no_mapping(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: {b: 1}\nc: 1\n", "a: {}\nc: {}\n"], [])
    assert result.values == {"a": {"b": 1}, "c": {}}
    assert _places(result, "c") == ["recipes/r1.yaml:2", "recipes/r0.yaml:2"]


def test_a_mapping_typed_on_the_command_line_merges(workspace: Workspace) -> None:
    result = _replayed(workspace, ["a: {b: 1}\n"], [Setting(("a",), {"c": 2})])
    assert result.values == {"a": {"b": 1, "c": 2}}
    assert _places(result, "a.c") == ["command line"]


def test_the_place_of_what_no_file_holds_is_the_name_that_stands_for_it(workspace: Workspace) -> None:
    spec = workspace.compose("hardware=64xh100")
    assert spec.where(("hardware", "nodes")) == "hardware=64xh100"
    assert workspace.complaints("hardware=2x99xh100") == (
        "hardware=2x99xh100: hardware.gpus_per_node: 99 GPUs is above the most allowed, 64 "
        f"(over {spec.origins[('hardware', 'gpus_per_node')][1].where})",
    )


def test_the_place_of_a_key_without_its_own_is_the_nearest(workspace: Workspace) -> None:
    spec = workspace.compose("train.weight_decay=0.3")
    assert spec.where(("train", "weight_decay")) == "command line"
    assert spec.where(("train",)) == "conf/train/pretrain.yaml:2"
    assert spec.where(("train", "tokens", "x")) == "conf/train/pretrain.yaml:2"
    assert origin_of({}, ("a", "b")) == "spec"
