from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.resources import data_dir
from forge.spec.search_path import Root, SearchPath, default_search_path, is_option_name
from tests.spec.workspace import Workspace


def test_a_file_is_read_once_and_knows_its_name_and_trust(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")
    path = workspace.search_path()
    file = path.find("recipe/x")
    assert file is not None
    assert (file.config_path, file.shown, file.trust) == ("recipe/x", "recipes/x.yaml", "recipe")
    assert file.document.values == {"seed": 1}
    workspace.write("recipes/x.yaml", "seed: 2\n")
    assert path.find("recipe/x") is file


def test_conf_is_trusted_as_conf(workspace: Workspace) -> None:
    file = workspace.search_path().find("train/pretrain")
    assert file is not None
    assert (file.shown, file.trust) == ("conf/train/pretrain.yaml", "conf")


def test_the_user_s_option_comes_before_forge_s(workspace: Workspace) -> None:
    workspace.write("my_conf/export/hf.yaml", "formats: [hf]\ndtype: fp32\ngguf_types: [f16]\n")
    spec = workspace.compose()
    assert spec.values["export"]["dtype"] == "fp32"
    assert spec.where(("export", "dtype")) == "my_conf/export/hf.yaml:2"


def test_options_are_sorted_and_parts_are_none(workspace: Workspace) -> None:
    workspace.write("my_conf/hardware/4xh100.yaml", "")
    assert workspace.search_path().options("hardware") == ("1xh100", "4xh100", "8xh100", "cpu", "local")
    assert workspace.search_path().options("nothing") == ()


@pytest.mark.parametrize(
    "config_path",
    ["", "recipe/", "recipe/..", "../conf/config", "recipe/../config", "recipe/a/../../x", "/etc/passwd", "recipe//x",
     "recipe/x\n", "recipe/" + "x" * 5000, "recipe/x\0", "recipe/ä", "recipe/.x", "train", "recipe/" + "a/" * 500],
)  # fmt: skip
def test_a_name_that_is_none_finds_nothing(workspace: Workspace, config_path: str) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")
    assert workspace.search_path().find(config_path) is None


@pytest.mark.parametrize("name", ["legal_7b", "8xh100", "a", "A-b.c", "4k", "v1.2", "x1e5"])
def test_a_name_can_be_chosen(name: str) -> None:
    assert is_option_name(name)


@pytest.mark.parametrize(
    "name",
    ["_h100", "", "nan", "NaN", "inf", "true", "False", "null", "8", "1e5", "1_000", "1.5", ".x", "a b", "ä"],
)
def test_a_name_that_hydra_would_not_take_for_text_cannot(name: str) -> None:
    assert not is_option_name(name)


def test_a_link_within_the_folder_is_fine(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "seed: 5\n")
    (workspace.folder / "recipes/y.yaml").symlink_to("x.yaml")
    assert workspace.compose("recipe=y").values["seed"] == 5


def test_a_recipe_folder_may_itself_be_a_link(workspace: Workspace) -> None:
    workspace.write("shared/x.yaml", "seed: 5\n")
    (workspace.folder / "recipes").symlink_to("shared")
    assert workspace.compose("recipe=x").values["seed"] == 5


def test_a_file_that_cannot_be_read_is_a_problem(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write("recipes/x.yaml", "seed: 1\n")

    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    file = workspace.search_path().find("recipe/x")
    assert file is not None
    assert file.document.errors == [(1, "cannot be read: Permission denied")]


def test_a_byte_order_mark_is_dropped(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", b"\xef\xbb\xbfseed: 9\n")
    assert workspace.compose("recipe=x").values["seed"] == 9


@pytest.fixture
def home(workspace: Workspace) -> Path:
    return workspace.folder / "home/.config/forge"


def test_recipes_are_looked_up_here_then_in_the_variable_then_at_home_then_in_forge(
    workspace: Workspace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORGE_RECIPE_PATH", os.pathsep.join(["shared", "~/more", ""]))
    places = ["recipes", "shared", "home/more", "home/.config/forge/recipes"]
    for number, place in enumerate(places):
        for later in range(number + 1):
            workspace.write(f"{place}/r{later}.yaml", f"seed: {number}\n")
    shown = [default_search_path().find(f"recipe/r{number}") for number in range(len(places))]
    assert [file and file.shown for file in shown] == [
        "recipes/r0.yaml", "shared/r1.yaml", "home/more/r2.yaml", "home/.config/forge/recipes/r3.yaml",
    ]  # fmt: skip
    built_in = default_search_path().find("recipe/legal_tiny")
    assert built_in is not None
    assert built_in.shown == "forge/recipes/legal_tiny.yaml"
    assert built_in.path == data_dir("recipes") / "legal_tiny.yaml"


def test_what_lies_elsewhere_is_shown_by_the_name_the_user_gave_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.yaml").write_text("seed: 1\n")
    monkeypatch.setenv("FORGE_RECIPE_PATH", f"{elsewhere}/")
    monkeypatch.setenv("HOME", str(elsewhere / "user"))
    (elsewhere / "user/.config/forge/conf/model").mkdir(parents=True)
    (elsewhere / "user/.config/forge/conf/model/mine.yaml").write_text("layers: 1\n")
    path = default_search_path()
    far, mine = path.find("recipe/far"), path.find("model/mine")
    assert far is not None
    assert mine is not None
    assert far.shown == f"{elsewhere}/far.yaml"
    assert mine.shown == "~/.config/forge/conf/model/mine.yaml"


def test_the_config_folder_follows_the_desktop_s_variable(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("config")
    (config / "forge/recipes").mkdir(parents=True)
    (config / "forge/recipes/mine.yaml").write_text("seed: 1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    file = default_search_path().find("recipe/mine")
    assert file is not None
    assert file.shown == f"{config}/forge/recipes/mine.yaml"


def test_a_user_without_a_home_composes_all_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert default_search_path().find("recipe/legal_tiny") is not None


def test_a_working_folder_that_is_gone_is_one_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = workspace.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(
        SpecError, match=r"^the working directory does not exist any more: cd to one that does$"
    ):
        default_search_path()


def test_a_recipe_that_hides_a_built_in_one_is_known(workspace: Workspace) -> None:
    workspace.write("recipes/legal_tiny.yaml", "seed: 1\n")
    path = default_search_path()
    assert path.shadowed("legal_tiny") == data_dir("recipes") / "legal_tiny.yaml"
    workspace.write("recipes/mine.yaml", "seed: 1\n")
    assert path.shadowed("mine") is None
    assert path.shadowed("not_there") is None


def test_in_forge_s_own_checkout_nothing_is_hidden(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_dir("recipes").parent)
    assert default_search_path().shadowed("legal_tiny") is None


def test_packs_are_asked_for_once_and_only_where_one_may_be_meant(workspace: Workspace) -> None:
    asked = []
    pack = workspace.write("pack/legal.yaml", "seed: 3\n").parent

    def packs(name: str) -> tuple[Root, ...]:
        asked.append(name)
        return (Root(pack, "recipe/acme", "recipe", "acme"),)

    workspace.write("recipes/team/inner.yaml", "seed: 4\n")
    path = SearchPath(workspace.search_path().roots, packs)
    assert path.find("recipe/legal") is None
    assert path.options("recipe") == ()
    assert path.options("model")
    assert asked == []
    file = path.find("recipe/acme/legal")
    assert file is not None
    assert file.document.values == {"seed": 3}
    assert path.options("recipe/acme") == ("legal",)
    assert path.find("recipe/acme/other") is None
    assert asked == ["acme"]


def test_beside_a_user_s_recipes_those_of_forge_are_called_forge_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def shown(recipe: str) -> str:
        file = default_search_path().find(f"recipe/{recipe}")
        assert file is not None
        return file.shown

    assert shown("legal_7b") == "recipes/legal_7b.yaml"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ours.yaml").write_text("seed: 1\n")
    assert shown("ours") == "recipes/ours.yaml"
    assert shown("legal_7b") == "forge/recipes/legal_7b.yaml"


def test_an_installed_pack_is_found_without_being_imported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = workspace.folder / "site"
    workspace.write("site/acme_recipes/__init__.py", "raise SystemExit\n")
    workspace.write("site/acme_recipes/recipes/legal.yaml", "seed: 3\n")
    workspace.write("site/acme-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    workspace.write(
        "site/acme-1.dist-info/entry_points.txt",
        "[forge.recipes]\nacme = acme_recipes\ninner = acme_recipes.inner\ngone = not_there\n../up = acme_recipes\n",
    )
    monkeypatch.syspath_prepend(str(site))
    path = default_search_path()
    file = path.find("recipe/acme/legal")
    assert file is not None
    assert (file.shown, file.trust) == ("site/acme_recipes/recipes/legal.yaml", "recipe")
    assert path.find("recipe/inner/legal") is None
    assert path.find("recipe/gone/legal") is None
    assert "acme_recipes" not in sys.modules


def test_a_pack_never_stands_in_for_a_recipe_of_one_s_own(workspace: Workspace) -> None:
    pack = workspace.write("pack/legal.yaml", "seed: 3\n").parent
    workspace.write("recipes/acme/legal.yaml", "seed: 4\n")
    packs = (Root(pack, "recipe/acme", "recipe", "acme"),)
    file = SearchPath(workspace.search_path().roots, lambda _: packs).find("recipe/acme/legal")
    assert file is not None
    assert file.document.values == {"seed": 4}
