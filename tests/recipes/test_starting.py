from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from forge.errors import SpecError
from forge.recipes.starting import EDITOR_SCHEMA, start_recipe
from forge.spec.compose import compose_spec
from forge.spec.search_path import default_search_path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def start(name: str, base: str = "legal_1b") -> Path:
    return start_recipe(name, base, default_search_path())


def test_it_extends_its_base_and_composes_to_the_same(here: Path) -> None:
    start("ours")
    ours, base = compose_spec(["recipe=ours"]), compose_spec(["recipe=legal_1b"])
    assert ours.values == base.values | {"name": "ours"}
    assert ours.recipes == ("legal_125m", "legal_1b", "ours")


def test_its_first_lines_are_for_the_editor_and_whom_it_is_for(here: Path) -> None:
    text = start("ours").read_text()
    assert text.startswith(f"# yaml-language-server: $schema={EDITOR_SCHEMA}\n# For ")
    schema = json.loads((here / "recipes" / EDITOR_SCHEMA).read_text())
    assert set(schema["properties"]) >= {"defaults", "name", "train"}


def test_what_it_suggests_is_right_once_the_marks_are_gone(here: Path) -> None:
    file = start("ours")
    lines = file.read_text().splitlines()
    suggested = [line.removeprefix("# ") for line in lines if line.startswith(("# train:", "#   "))]
    file.write_text("\n".join([*lines, *suggested]) + "\n")
    assert yaml.safe_load("\n".join(suggested)) == {
        "train": {"tokens": 24_000_000_000, "learning_rate": 4e-4}
    }
    assert compose_spec(["recipe=ours"]).values["train"]["tokens"] == 24_000_000_000


def test_one_of_ones_own_can_be_extended_in_turn(here: Path) -> None:
    start("ours")
    start("others", "ours")
    assert compose_spec(["recipe=others"]).recipes[-2:] == ("ours", "others")
    schema = json.loads((here / "recipes" / EDITOR_SCHEMA).read_text())
    assert "ours" in schema["properties"]["defaults"]["items"]["anyOf"][0]["enum"]


def test_nothing_that_is_there_is_changed(here: Path) -> None:
    file = start("ours")
    before = file.read_text()
    for name, line in (
        ("ours", "recipes/ours.yaml: is there already: choose another name"),
        ("legal_7b", "forge/recipes/legal_7b.yaml: is there already: choose another name"),
    ):
        with pytest.raises(SpecError) as caught:
            start(name)
        assert caught.value.lines == (line,)
    assert file.read_text() == before
    assert not (here / "recipes" / "legal_7b.yaml").exists()


def test_a_link_to_nowhere_is_not_written_through(here: Path) -> None:
    (here / "recipes").mkdir()
    (here / "recipes" / "ours.yaml").symlink_to(here / "elsewhere.yaml")
    with pytest.raises(SpecError, match=r"recipes/ours\.yaml: is there already"):
        start("ours")
    assert not (here / "elsewhere.yaml").exists()


def test_somebody_elses_file_in_the_place_of_the_schema_stays(here: Path) -> None:
    (here / "recipes").mkdir()
    schema = here / "recipes" / EDITOR_SCHEMA
    schema.write_text("{}")
    with pytest.raises(SpecError, match=r"is there and is not forge's: move it"):
        start("ours")
    assert schema.read_text() == "{}"
    assert not (here / "recipes" / "ours.yaml").exists()


@pytest.mark.parametrize("name", ["Ours", "8", "1e5", "null", "../ours", "a/b", "", "x" * 65, "\x1b[31mx"])
def test_a_name_that_no_recipe_may_have(name: str, here: Path) -> None:
    with pytest.raises(SpecError) as caught:
        start(name)
    (line,) = caught.value.lines
    assert line.startswith("command line: ")
    assert line.isprintable()
    assert list(here.iterdir()) == []


def test_a_base_that_is_not_there(here: Path) -> None:
    with pytest.raises(SpecError, match="did you mean legal_1b"):
        start("ours", "legl_1b")
    assert list(here.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(here: Path) -> None:
    (here / "recipes").write_text("a file")
    with pytest.raises(SpecError, match="recipes"):
        start("ours")
