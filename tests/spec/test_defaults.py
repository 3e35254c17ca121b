from __future__ import annotations

import pytest

from forge.spec.defaults import Entry, misplaced, own_values, read_defaults
from forge.spec.search_path import SpecFile
from tests.spec.workspace import Workspace


def _file(workspace: Workspace, config_path: str) -> SpecFile:
    file = workspace.search_path().find(config_path)
    assert file is not None
    return file


def _read(workspace: Workspace, config_path: str) -> tuple[list[Entry], list[str]]:
    entries, problems = read_defaults(_file(workspace, config_path), workspace.search_path())
    return entries, [str(problem) for problem in problems]


def test_a_recipe_extends_and_chooses(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "")
    workspace.write("recipes/team/other.yaml", "")
    workspace.write(
        "recipes/x.yaml",
        "defaults:\n  - base\n  - /recipe/team/other\n  - _self_\n  - override /model: llama_3m\n",
    )
    entries, problems = _read(workspace, "recipe/x")
    assert problems == []
    assert entries == [
        Entry("extend", "recipe/base", "base", 2),
        Entry("extend", "recipe/team/other", "other", 3),
        Entry("choose", "model", "llama_3m", 5),
    ]


def test_a_recipe_in_a_folder_extends_the_one_beside_it(workspace: Workspace) -> None:
    workspace.write("recipes/team/base.yaml", "seed: 1\n")
    workspace.write("recipes/base.yaml", "seed: 2\n")
    workspace.write("recipes/team/x.yaml", "defaults:\n  - base\n")
    assert _read(workspace, "recipe/team/x")[0] == [Entry("extend", "recipe/team/base", "base", 2)]
    assert workspace.compose("recipe=team/x").values["seed"] == 1


def test_an_option_extends_options_beside_it(workspace: Workspace) -> None:
    assert _read(workspace, "hardware/8xh100") == ([Entry("extend", "hardware/_h100", "_h100", 3)], [])


def test_conf_chooses_without_override(workspace: Workspace) -> None:
    entries, problems = _read(workspace, "config")
    assert problems == []
    assert entries[0] == Entry("choose", "data", "folder", 3)
    assert [entry.kind for entry in entries] == ["choose"] * 11


def test_conf_extends_nothing(workspace: Workspace) -> None:
    workspace.write("my_conf/config.yaml", "defaults:\n  - more\n")
    assert _read(workspace, "config") == (
        [],
        ["my_conf/config.yaml:2: 'more': to choose an option write `- GROUP: OPTION`"],
    )


@pytest.mark.parametrize(
    "listed", ["", "defaults:\n", "defaults: null\n", "defaults: []\n", "defaults: [_self_]\n"]
)
def test_no_defaults_are_no_entries(workspace: Workspace, listed: str) -> None:
    workspace.write("recipes/x.yaml", listed)
    assert _read(workspace, "recipe/x") == ([], [])


def test_a_bad_entry_is_left_out_and_the_good_ones_stay(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - nope\n  - 8\n  - override /model: llama_3m\n  - {}\n")
    entries, problems = _read(workspace, "recipe/x")
    assert entries == [Entry("choose", "model", "llama_3m", 4)]
    assert len(problems) == 3


def test_own_values_are_without_the_list_and_without_what_is_misplaced(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults: []\nhydra: {a: 1}\ntrain: 3\nmodel: {layers: 2}\nseed: 1\n")
    file = _file(workspace, "recipe/x")
    assert own_values(file) == {"model": {"layers": 2}, "seed": 1}
    assert [str(problem) for problem in misplaced(file)] == [
        "recipes/x.yaml:2: hydra: forge has no hydra settings: drop it",
        "recipes/x.yaml:3: train: 3 is not a mapping: write its keys below it, indented",
    ]


def test_an_option_may_have_a_key_called_like_a_group(workspace: Workspace) -> None:
    workspace.write("my_conf/train/mine.yaml", "data: 3\n")
    assert own_values(_file(workspace, "train/mine")) == {"data": 3}
    assert misplaced(_file(workspace, "train/mine")) == []


@pytest.mark.parametrize("listed", [["- base", "- _self_", "- override /model: llama_3m"],
                                    ["- override /model: llama_3m", "- base"],
                                    ["- override /model: llama_3m", "- _self_"],
                                    ["- _self_", "- override /model: llama_3m"]])  # fmt: skip
def test_the_order_of_choices_and_bases_makes_no_difference(workspace: Workspace, listed: list[str]) -> None:
    workspace.write("recipes/base.yaml", "seed: 1\n")
    lines = "".join(f"  {item}\n" for item in listed)
    workspace.write("recipes/x.yaml", f"defaults:\n{lines}seed: 2\n")
    spec = workspace.compose("recipe=x")
    assert spec.values["seed"] == 2
    assert spec.choices["model"] == "llama_3m"


@pytest.mark.parametrize(
    "header",
    [
        "# @package _global_",
        "# @package: _global_",
        "# yaml-language-server: $schema=x.json\n# @package _global_",
        "%YAML 1.2\n---",
    ],
)
def test_no_header_moves_a_recipe(workspace: Workspace, header: str) -> None:
    workspace.write("recipes/x.yaml", f"{header}\nseed: 2\n")
    assert workspace.compose("recipe=x").values["seed"] == 2
