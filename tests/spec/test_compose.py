from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.resources import data_dir
from forge.spec.compose import compose_spec
from forge.spec.search_path import Root, SearchPath
from forge.spec.types import Spec
from tests.spec.workspace import Workspace


def test_a_spec_without_overrides_is_what_conf_says(workspace: Workspace) -> None:
    spec = workspace.compose()
    assert spec.values["name"] == "run"
    assert spec.choices == {
        "data": "folder",
        "tokenizer": "bpe_32k",
        "model": "llama_25m",
        "hardware": "local",
        "train": "pretrain",
        "engine": "auto",
        "evaluate": "held_out",
        "export": "hf",
        "sweep": "grid",
        "launch": "local",
        "track": "tensorboard",
    }
    assert spec.recipes == ()
    assert spec.notes == ()


def test_recipe_then_command_line(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "seed: 1\ntrain:\n  weight_decay: 0.1\n  adam_beta1: 0.5\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - base\nseed: 2\ntrain:\n  weight_decay: 0.2\n")
    spec = workspace.compose("recipe=x", "train.weight_decay=0.3")
    assert spec.recipes == ("base", "x")
    assert spec.values["seed"] == 2
    assert [str(origin) for origin in spec.origins[("train", "weight_decay")]] == [
        "command line",
        "recipes/x.yaml:5",
        "recipes/base.yaml:3",
        "conf/train/pretrain.yaml:12",
    ]
    assert spec.where(("train", "adam_beta1")) == "recipes/base.yaml:4"


def test_a_user_s_recipe_that_hides_a_built_in_one_is_noted(workspace: Workspace) -> None:
    workspace.write("recipes/legal_tiny.yaml", "name: mine\n")
    spec = compose_spec(["recipe=legal_tiny"])
    assert spec.values["name"] == "mine"
    assert spec.notes == ("recipes/legal_tiny.yaml hides forge's own recipe of that name",)


def test_a_hidden_base_is_noted_too(workspace: Workspace) -> None:
    workspace.write("recipes/legal_tiny.yaml", "seed: 1\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - legal_tiny\n")
    assert compose_spec(["recipe=x"]).notes == (
        "recipes/legal_tiny.yaml hides forge's own recipe of that name",
    )


def test_a_recipe_may_extend_a_built_in_one(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - legal_tiny\nname: x\n")
    spec = compose_spec(["recipe=x"])
    assert spec.recipes == ("legal_tiny", "x")
    assert spec.notes == ()
    assert spec.values["tokenizer"]["vocab_size"] == 4096


def test_a_recipe_of_a_pack_may_extend_its_own_and_forge_s(workspace: Workspace) -> None:
    pack = workspace.write("pack/base.yaml", "defaults:\n  - /recipe/legal_tiny\nseed: 8\n").parent
    workspace.write("pack/legal.yaml", "defaults:\n  - base\nname: legal\n")
    roots = (
        Root(data_dir("conf"), "", "conf", "conf"),
        Root(workspace.folder / "recipes", "recipe", "recipe", "recipes"),
        Root(data_dir("recipes"), "recipe", "recipe", "recipes"),
    )
    path = SearchPath(roots, lambda _: (Root(pack, "recipe/acme", "recipe", "acme"),))
    spec = compose_spec(["recipe=acme/legal"], path)
    assert spec.recipes == ("legal_tiny", "acme/base", "acme/legal")
    assert (spec.values["name"], spec.values["seed"]) == ("legal", 8)
    workspace.write("recipes/mine.yaml", "defaults:\n  - /recipe/acme/base\n")
    assert compose_spec(["recipe=mine"], path).values["seed"] == 8


def test_a_value_that_a_file_leaves_open_can_be_given(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "data:\n  path: ???\n")
    assert workspace.compose("recipe=x", "data.path=/docs").values["data"]["path"] == "/docs"


def test_an_error_is_about_the_value_in_force_only(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: -1\n")
    assert workspace.compose("recipe=x", "seed=1").values["seed"] == 1


def test_the_same_overrides_give_the_same_spec_in_any_order_of_keys(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: 2\n")
    one = workspace.compose("recipe=x", "train.steps=3", "model=llama_3m")
    other = workspace.compose("model=llama_3m", "train.steps=3", "+recipe=x")
    assert one == other
    assert repr(one.values) == repr(other.values)


def test_specs_can_be_composed_side_by_side(workspace: Workspace) -> None:
    """Nothing of one composition is kept in the process for the next."""
    for number in range(4):
        workspace.write(f"recipes/r{number}.yaml", f"seed: {number}\n")
    specs: dict[int, Spec] = {}

    def compose(number: int) -> None:
        specs[number] = workspace.compose(f"recipe=r{number}")

    threads = [threading.Thread(target=compose, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [specs[number].values["seed"] for number in range(4)] == [0, 1, 2, 3]


def test_an_incomplete_installation_is_one_line(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match=r"^conf/config.yaml is missing: install forge again$"):
        compose_spec([], SearchPath(()))


def test_a_process_says_only_what_the_spec_says(tmp_path: Path) -> None:
    """No warning, no log line and no notice of Hydra's comes along, and nothing is left in the folder."""
    program = "from forge.spec.compose import compose_spec; compose_spec(['train.steps=3', 'data.path=/ü,'])"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        "forge.errors.SpecError: command line: data.path=/ü,: cannot be read"
    )
    assert "Warning" not in done.stderr
    assert list(tmp_path.iterdir()) == []
