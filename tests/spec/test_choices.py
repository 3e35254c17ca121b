"""A recipe's value never silently beats an option that was chosen after the recipe was written."""

from __future__ import annotations

import pytest

from forge.spec.types import Origin
from tests.spec.workspace import Workspace

LATE_VALUE = "train:\n  weight_decay: 0.3\n"


def _beaten(recipe: str, key: str, choice: str, place: str) -> str:
    return (
        f"{recipe}: {key}: would beat {choice}, chosen {place}: set {key} there too, or leave that choice out"
    )


def test_every_place_that_chose_is_known_in_force_first(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "defaults:\n  - override /model: llama_1b\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - base\n  - override /model: llama_3m\n")
    spec = workspace.compose("recipe=x", "model=mixtral_8x1b")
    assert spec.choices["model"] == "mixtral_8x1b"
    assert spec.choice_origins["model"] == (
        Origin("command line", "command line", "mixtral_8x1b", 2),
        Origin("recipes/x.yaml:3", "recipe", "llama_3m", 1),
        Origin("recipes/base.yaml:2", "recipe", "llama_1b", 0),
        Origin("conf/config.yaml:5", "conf", "llama_25m", -1),
    )


def test_the_command_line_wins_over_a_recipe_s_choice_in_either_order(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - override /hardware: cpu\n")
    for overrides in (("recipe=x", "hardware=8xh100"), ("hardware=8xh100", "recipe=x")):
        spec = workspace.compose(*overrides)
        assert spec.choices["hardware"] == "8xh100"
        assert spec.values["hardware"]["gpus_per_node"] == 8


def test_of_two_bases_that_choose_the_last_wins(workspace: Workspace) -> None:
    workspace.write("recipes/l.yaml", "defaults:\n  - override /model: llama_1b\n")
    workspace.write("recipes/r.yaml", "defaults:\n  - override /model: llama_3m\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - l\n  - r\n")
    assert workspace.compose("recipe=x").choices["model"] == "llama_3m"


def test_a_value_beats_the_option_the_recipe_itself_chose_or_left_alone(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - override /train: short\n" + LATE_VALUE)
    workspace.write("recipes/y.yaml", LATE_VALUE)
    for recipe in ("x", "y"):
        assert workspace.compose(f"recipe={recipe}").values["train"]["weight_decay"] == 0.3


def test_a_child_s_value_beats_its_base_s_choice(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "defaults:\n  - override /train: short\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - base\n" + LATE_VALUE)
    assert workspace.compose("recipe=x").values["train"]["weight_decay"] == 0.3


def test_a_value_does_not_beat_the_command_line_s_choice(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", LATE_VALUE)
    complaint = _beaten("recipes/x.yaml:2", "train.weight_decay", "train=short", "on the command line")
    for overrides in (("recipe=x", "train=short"), ("train=short", "recipe=x"), ("+recipe=x", "train=short")):
        assert workspace.complaints(*overrides) == (complaint,)


def test_a_value_that_the_command_line_sets_too_is_fine(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", LATE_VALUE)
    spec = workspace.compose("recipe=x", "train=short", "train.weight_decay=0.2")
    assert spec.values["train"]["weight_decay"] == 0.2


def test_a_value_that_is_the_option_s_own_beats_nothing(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "train:\n  weight_decay: 0.05\n")
    assert workspace.compose("recipe=x", "train=short").values["train"]["weight_decay"] == 0.05


def test_a_base_s_value_does_not_beat_its_child_s_choice(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", LATE_VALUE)
    workspace.write("recipes/x.yaml", "defaults:\n  - base\n  - override /train: short\n")
    assert workspace.complaints("recipe=x") == (
        _beaten("recipes/base.yaml:2", "train.weight_decay", "train=short", "in recipes/x.yaml:3"),
    )
    workspace.write(
        "recipes/x.yaml", "defaults:\n  - base\n  - override /train: short\ntrain: {weight_decay: 0.2}\n"
    )
    assert workspace.compose("recipe=x").values["train"]["weight_decay"] == 0.2


def test_only_the_recipes_before_the_choice_are_meant(workspace: Workspace) -> None:
    workspace.write("recipes/a.yaml", "train:\n  gradient_clip: 0.5\n")
    workspace.write("recipes/b.yaml", "defaults:\n  - a\n  - override /train: short\n" + LATE_VALUE)
    workspace.write("recipes/c.yaml", "defaults:\n  - b\ntrain:\n  adam_beta2: 0.9\n")
    assert workspace.complaints("recipe=c") == (
        _beaten("recipes/a.yaml:2", "train.gradient_clip", "train=short", "in recipes/b.yaml:3"),
    )


def test_choosing_once_more_what_is_chosen_changes_nothing(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - override /train: short\n" + LATE_VALUE)
    assert workspace.compose("recipe=x", "train=short").values["train"]["weight_decay"] == 0.3
    workspace.write("recipes/y.yaml", LATE_VALUE)
    assert workspace.compose("recipe=y", "train=pretrain").values["train"]["weight_decay"] == 0.3


def test_choosing_the_start_again_after_a_recipe_left_it_is_a_choice(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - override /train: short\n" + LATE_VALUE)
    assert workspace.complaints("recipe=x", "train=pretrain") == (
        _beaten("recipes/x.yaml:4", "train.weight_decay", "train=pretrain", "on the command line"),
    )


def test_a_value_of_one_s_own_conf_is_no_recipe_s(workspace: Workspace) -> None:
    workspace.write("my_conf/train/mine.yaml", "defaults:\n  - pretrain\nweight_decay: 0.4\n")
    assert workspace.compose("train=mine").values["train"]["weight_decay"] == 0.4


@pytest.mark.parametrize("recipe", ["data:\n  metadata_allow:\n    kind: [a]\n", "data:\n  path: docs\n"])
def test_a_mapping_and_a_path_beat_no_choice_either(workspace: Workspace, recipe: str) -> None:
    workspace.write("recipes/x.yaml", recipe)
    (line,) = workspace.complaints("recipe=x", "data=licence_texts")
    assert "would beat data=licence_texts, chosen on the command line" in line


def test_every_kind_of_chain_and_place_of_the_choice(workspace: Workspace) -> None:
    """Recipes a < b < c; the value is set in one, the option chosen in another: an error exactly if chosen later."""
    names = ["a", "b", "c"]
    for setter in range(3):
        for chooser in range(4):
            for number, name in enumerate(names):
                listed = [f"  - {names[number - 1]}"] if number else []
                if chooser == number:
                    listed.append("  - override /train: short")
                text = "defaults:\n" + "\n".join(listed) + "\n" if listed else ""
                workspace.write(f"recipes/{name}.yaml", text + (LATE_VALUE if setter == number else ""))
            overrides = ["recipe=c", *(["train=short"] if chooser == 3 else [])]
            complaints = workspace.complaints(*overrides)
            assert bool(complaints) == (chooser > setter), (setter, chooser)
            if not complaints:
                assert workspace.compose(*overrides).values["train"]["weight_decay"] == 0.3
