"""What an editor makes of a recipe that `forge recipe new` began: a real yaml-language-server reads it.

npm install yaml-language-server
FORGE_YAML_LANGUAGE_SERVER=node_modules/.bin/yaml-language-server pytest tests/recipes/test_editor.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.recipes.starting import start_recipe
from forge.spec.search_path import default_search_path
from tests.recipes.language_server import VARIABLE, LanguageServer, server_program

PROGRAM = server_program()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no yaml-language-server: npm install it, or set {VARIABLE}"
)

WRONG = """\
train:
  learning_rate: fast
  lerning_rate: 1
  optimizer: adam
output_dir: /tmp
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("editor")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[LanguageServer]:
    assert PROGRAM is not None
    with LanguageServer(PROGRAM, folder) as running:
        yield running


@pytest.fixture
def recipe(folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    name = request.node.name.removeprefix("test_")[:40]
    return folder / start_recipe(name, "legal_1b", default_search_path())


def add(recipe: Path, text: str) -> int:
    """Add text; return the number of its first line."""
    before = recipe.read_text()
    recipe.write_text(before + text)
    return before.count("\n") + 1


def test_a_recipe_begun_has_nothing_wrong(recipe: Path, server: LanguageServer) -> None:
    add(recipe, "train:\n  learning_rate: ${train.muon_learning_rate}\n  optimizer: muon\n  phases: null\n")
    assert server.open(recipe) == []


def test_mistakes_are_marked_on_their_lines(recipe: Path, server: LanguageServer) -> None:
    first = add(recipe, WRONG)
    found = dict(server.open(recipe))
    assert sorted(found) == [first + 1, first + 2, first + 3, first + 4]
    assert found[first + 1] == "Is not a number."
    assert "lerning_rate is not allowed" in found[first + 2]
    assert "adamw" in found[first + 3]
    assert "output_dir is not allowed" in found[first + 4]


def test_an_option_that_is_not_there_is_marked(recipe: Path, server: LanguageServer) -> None:
    text = recipe.read_text().replace("- legal_1b\n", "- legal_1b\n  - override /model: llama_8b\n")
    recipe.write_text(text)
    assert [line for line, _ in server.open(recipe)] == [text[: text.index("llama_8b")].count("\n") + 1]


def test_keys_and_their_values_are_offered(recipe: Path, server: LanguageServer) -> None:
    first = add(recipe, "train:\n  optimizer: \n  \n")
    server.open(recipe)
    assert {"adamw", "muon"} <= server.complete(recipe, first + 1, len("  optimizer: "))
    offered = server.complete(recipe, first + 2, 2)
    assert {"learning_rate", "tokens", "phases"} <= offered
    assert "output_dir" not in server.complete(recipe, first + 3, 0)


def test_options_are_offered_where_one_is_chosen(recipe: Path, server: LanguageServer) -> None:
    text = recipe.read_text().replace("- legal_1b\n", "- legal_1b\n  - override /hardware: \n")
    recipe.write_text(text)
    server.open(recipe)
    line = text[: text.index("override /hardware")].count("\n") + 1
    offered = server.complete(recipe, line, len("  - override /hardware: "))
    assert {"8xh100", "1xh100", "local"} <= offered


def test_a_key_says_what_it_means(recipe: Path, server: LanguageServer) -> None:
    first = add(recipe, "train:\n  global_batch_tokens: 1048576\n")
    server.open(recipe)
    said = server.hover(recipe, first + 1, 4)
    assert "Unit: tokens" in said
