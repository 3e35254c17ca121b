from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from forge.cli.compiling import compile_overrides, recompile
from forge.cli.plan_view import plan_screen
from forge.errors import SpecError
from tests.export.artifacts import VOCAB_SIZE, planned, write_model, write_tokenizer
from tests.plan.specs import LAPTOP


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_model(tmp_path / "model", planned({"rope_theta": 50_000.0}).model)
    write_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def test_training_from_a_folder_takes_its_shape_and_its_tokenizer(folder: Path) -> None:
    plan = compile_overrides(["hardware=cpu", f"model.init_from={folder}"], LAPTOP, needs_data=False).plan
    assert (plan.model.layers, plan.model.hidden_size, plan.model.rope_theta) == (2, 32, 50_000.0)
    assert plan.model.vocab_size == VOCAB_SIZE
    (source,) = plan.initial_weights
    assert (source.path, source.files, len(source.sha256)) == (str(folder), 2, 64)
    assert plan.stage("tokenizer").parameters["path"] == str(folder)
    assert plan.stage("train").parameters["initial_weights_sha256"] == [source.sha256]


def test_other_weights_are_another_plan(folder: Path) -> None:
    overrides = ["hardware=cpu", f"model.init_from={folder}"]
    first = compile_overrides(overrides, LAPTOP, needs_data=False).plan
    write_model(folder, planned({"rope_theta": 50_000.0}).model, seed=3)
    second = compile_overrides(overrides, LAPTOP, needs_data=False).plan
    assert first.stage("train").key != second.stage("train").key
    assert first.stage("tokens").key == second.stage("tokens").key


@pytest.mark.parametrize("changed", ["weights", "words"])
def test_another_rival_is_another_evaluation_of_the_same_training(folder: Path, changed: str) -> None:
    overrides = ["hardware=cpu", f"evaluate.rival_folder={folder}"]
    first = compile_overrides(overrides, LAPTOP, needs_data=False).plan
    assert compile_overrides(overrides, LAPTOP, needs_data=False).plan.id == first.id
    if changed == "weights":
        write_model(folder, planned({"rope_theta": 50_000.0}).model, seed=3)
    else:
        (folder / "chat_template.jinja").write_text("{{ messages }}")
    second = compile_overrides(overrides, LAPTOP, needs_data=False).plan
    assert first.stage("evaluate").key != second.stage("evaluate").key
    assert first.stage("train").key == second.stage("train").key


def test_a_rival_that_is_not_at_hand_makes_a_plan_all_the_same(tmp_path: Path) -> None:
    plan = compile_overrides(
        ["hardware=cpu", f"evaluate.rival_folder={tmp_path / 'none'}"], LAPTOP, needs_data=False
    ).plan
    assert plan.stage("evaluate").parameters["rival_sha256"] is None


def test_a_shape_set_beside_the_folder_names_both_and_who_set_it(folder: Path) -> None:
    with pytest.raises(SpecError) as caught:
        compile_overrides(
            ["hardware=cpu", f"model.init_from={folder}", "model.layers=5"], LAPTOP, needs_data=False
        )
    assert caught.value.lines == (
        f"command line: model.layers: 5 is set, the weights of {folder} have 2: drop one of the two",
    )


def test_a_plan_from_a_folder_compiles_again_to_itself(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("words " * 1000)
    overrides = ["hardware=cpu", f"model.init_from={folder}", f"data.path={tmp_path / 'data'}"]
    plan = compile_overrides(overrides, LAPTOP, needs_data=True).plan
    again, _ = recompile(plan, LAPTOP, "plan.json")
    assert again.id == plan.id


def test_a_recipe_may_not_name_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text("# @package _global_\nmodel:\n  init_from: model\n")
    with pytest.raises(SpecError, match=r"model\.init_from: may be set on the command line"):
        compile_overrides(["recipe=mine", "hardware=cpu"], LAPTOP, needs_data=False)


def test_the_plan_shows_what_it_starts_from(folder: Path) -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    compiled = compile_overrides(["hardware=cpu", f"model.init_from={folder}"], LAPTOP, needs_data=False)
    plan_screen(compiled, console)
    assert isinstance(console.file, io.StringIO)
    assert f"starts from  {folder} (" in console.file.getvalue()


def test_a_recipe_may_say_that_a_model_has_to_be_named_and_compiles_until_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text("model:\n  init_from: ???\ntrain:\n  lora_rank: 4\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("words " * 1000)
    overrides = ["recipe=mine", "hardware=cpu", f"data.path={tmp_path / 'data'}"]
    asked = (
        "recipes/mine.yaml:2: model.init_from: say where the model is that training goes on from: "
        "model.init_from=/my/model"
    )

    assumed = compile_overrides(overrides, LAPTOP, needs_data=False)
    assert assumed.notes == (asked,)
    assert assumed.plan.initial_weights == ()
    assert assumed.plan.model.hidden_size == 384
    assert assumed.plan.model.lora_rank == 4
    assert not [line for line in assumed.plan.estimates.warnings if "a smaller model" in line]
    with pytest.raises(SpecError) as caught:
        compile_overrides(overrides, LAPTOP, needs_data=True)
    assert caught.value.lines == (asked,)
    with pytest.raises(SpecError, match=r"plan\.json: was made without the model it goes on from"):
        recompile(assumed.plan, LAPTOP, "plan.json")

    named = compile_overrides([*overrides, f"model.init_from={folder}"], LAPTOP, needs_data=True)
    assert named.notes == ()
    assert named.plan.model.hidden_size == 32


def test_a_plan_says_that_its_model_is_assumed() -> None:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    plan_screen(
        compile_overrides(["recipe=continue_7b", "hardware=8xh100"], LAPTOP, needs_data=False), console
    )
    assert isinstance(console.file, io.StringIO)
    assert "starts from  a model that is not at hand; its shape is assumed" in console.file.getvalue()
