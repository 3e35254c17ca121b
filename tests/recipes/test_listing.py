from __future__ import annotations

from pathlib import Path

import pytest

from forge.recipes.listing import ListedRecipe, list_recipes
from forge.resources import data_dir
from forge.spec.search_path import default_search_path


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("FORGE_RECIPE_PATH", str(tmp_path / "shared"))
    for folder in ("recipes", "shared", "home/.config/forge/recipes"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "recipes"


def listed() -> dict[str, ListedRecipe]:
    return {recipe.name: recipe for recipe in list_recipes(default_search_path())}


def test_every_recipe_says_where_it_lies_and_whom_it_is_for(recipes: Path) -> None:
    (recipes / "ours.yaml").write_text("# For our lawyers: 3 GB.\nseed: 1\n")
    (recipes / "inner").mkdir()
    (recipes / "inner" / "deep.yaml").write_text("# Version 1.5 of it. And more.\nseed: 1\n")
    (recipes / "legal_7b.yaml").write_text("seed: 1\n")
    (recipes.parent / "shared" / "theirs.yaml").write_text(
        "# yaml-language-server: $schema=x.json\n# For them\n# all.\n"
    )
    (recipes.parent / "home/.config/forge/recipes/mine.yaml").write_text("#For me\n")
    found = listed()
    assert found["ours"] == ListedRecipe("ours", "recipes", "our lawyers")
    assert found["inner/deep"] == ListedRecipe("inner/deep", "recipes", "Version 1.5 of it")
    assert found["legal_7b"] == ListedRecipe("legal_7b", "recipes (hides forge's)", "")
    assert found["theirs"] == ListedRecipe("theirs", str(recipes.parent / "shared"), "them all")
    assert found["mine"] == ListedRecipe("mine", "~/.config/forge/recipes", "me")
    assert found["legal_1b"].place == "forge"
    assert list(found) == sorted(found)


def test_every_shipped_recipe_says_whom_it_is_for(recipes: Path) -> None:
    assert len(listed()) == len(list(data_dir("recipes").glob("*.yaml")))
    for recipe in listed().values():
        assert recipe.place == "forge"
        assert 10 < len(recipe.whom) < 80


def test_what_cannot_be_used_is_listed_with_why(recipes: Path) -> None:
    (recipes / "broken.yaml").write_text("a b: 1\n")
    (recipes / "link.yaml").symlink_to("/etc/hostname")
    (recipes / "circle").symlink_to(".")
    (recipes / "misspelt.yaml").write_text("# For us: x\ntrain:\n  lerning_rate: 1\n")
    found = listed()
    assert found["misspelt"].whom == (
        "cannot be used: recipes/misspelt.yaml:3: train.lerning_rate: no such key. did you mean train.learning_rate?"
    )
    assert found["broken"].whom.startswith("cannot be used: line 1: ")
    assert found["link"].whom == (
        "cannot be used: line 1: is a link that leaves its folder: put the file itself there"
    )
    assert not [name for name in found if name.startswith("circle")]


def test_a_comment_reaches_the_list_without_what_a_terminal_would_act_on(recipes: Path) -> None:
    (recipes / "evil.yaml").write_text("# For you\u202e and me: x\n")
    (recipes / "\x1b[31mred.yaml").write_text("# For nobody\n")
    found = listed()
    assert found["evil"].whom == (
        "cannot be used: line 1: holds a character that a terminal acts on or that hides text: remove it"
    )
    assert all(name.isprintable() for name in found)


def test_a_folder_that_is_not_there_or_may_not_be_read_holds_none(
    recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGE_RECIPE_PATH", "/nowhere/at/all")
    recipes.chmod(0)
    try:
        assert "legal_1b" in listed()
    finally:
        recipes.chmod(0o755)
