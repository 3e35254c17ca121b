"""A pack that pip brings: a real wheel with recipes and options, installed, found, and never imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.spec.compose import compose_spec
from forge.spec.packs import installed_packs
from tests.data.builders import write_folder
from tests.recipes.kit import RECIPES

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-recipes"
version = "1.2.0"

[project.entry-points."forge.recipes"]
acme = "acme_recipes"
"""
HARDWARE = "defaults:\n  - override /hardware: acme/mine\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("package")
    write_folder(
        folder / "source",
        {
            "pyproject.toml": PROJECT,
            "acme_recipes/__init__.py": "raise SystemExit('the code of a pack was run')\n",
            "acme_recipes/recipes/greedy.yaml": HARDWARE,
            "acme_recipes/conf/hardware/mine.yaml": "defaults:\n  - /hardware/cpu\n",
            **{f"acme_recipes/{name}": content for name, content in RECIPES.items()},
        },
    )
    build = [sys.executable, "-c", "import hatchling.build; hatchling.build.build_wheel('..')"]
    subprocess.run(build, cwd=folder / "source", check=True, capture_output=True)
    (wheel,) = folder.glob("acme_recipes-*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


@pytest.fixture(autouse=True)
def at_home(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def test_its_recipes_take_its_options() -> None:
    (pack,) = installed_packs("acme")
    assert (pack.kind, pack.use.version, pack.problem) == ("Python package", "1.2.0", "")
    assert pack.recipes == ("acme/base", "acme/greedy", "acme/legal")
    spec = compose_spec(["recipe=acme/legal"])
    assert (spec.values["model"]["layers"], spec.values["seed"]) == (2, 7)
    assert [use.name for use in spec.packs] == ["acme"]
    assert "acme_recipes" not in sys.modules


def test_an_option_that_changed_is_another_pack(site: Path) -> None:
    (before,) = installed_packs("acme")
    option = site / "acme_recipes/conf/model/small.yaml"
    content = option.read_bytes()
    try:
        option.write_bytes(content + b"hidden_size: 64\n")
        (after,) = installed_packs("acme")
    finally:
        option.write_bytes(content)
    assert after.use.sha256 != before.use.sha256


def test_it_describes_no_hardware() -> None:
    with pytest.raises(SpecError, match="acme/mine"):
        compose_spec(["recipe=acme/greedy"])


def test_forge_lists_and_shows_it(site: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{site}"}
    command = [sys.executable, "-m", "forge.cli.main", "recipe"]
    listed = subprocess.run([*command, "list"], env=environment, capture_output=True, text=True, check=True)
    assert [line.split()[:2] for line in listed.stdout.splitlines() if line.startswith("acme/")] == [
        ["acme/base", "pack"],
        ["acme/greedy", "pack"],
        ["acme/legal", "pack"],
    ]
    shown = subprocess.run(
        [*command, "show", "acme/legal", "hardware=cpu"], env=environment, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "acme/conf/model/small.yaml:5" in shown.stdout
