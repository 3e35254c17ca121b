"""The doors of the house: which room may import which, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import forge

PACKAGE = Path(forge.__file__).parent

ANYWHERE = {"errors", "files", "locks", "progress", "quiet", "resources"}
"""Single files every room may use."""

DOORS: dict[str, set[str]] = {
    "cli": {"spec", "plan", "data", "engine", "evaluate", "export", "recipes", "run", "report"},
    "run": {"plan", "data", "engine", "evaluate", "export"},
    "plan": {"spec"},
    "spec": set(),
    "data": set(),
    "engine": {"plan", "data"},
    "evaluate": {"plan", "data"},
    "export": {"plan", "data"},
    "recipes": {"spec", "plan"},
    "report": {"plan", "run"},
}
HEAVY = {"torch", "transformers", "deepspeed"}
LIGHT_ROOMS = {"spec": HEAVY | {"numpy", "pyarrow"}, "plan": HEAVY | {"numpy", "pyarrow"}, "cli": HEAVY}


def imports(file: Path) -> set[str]:
    """Return the modules a file imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "forge"}
    return found


def rooms() -> list[str]:
    return sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def test_every_room_has_its_doors() -> None:
    assert set(rooms()) <= set(DOORS)


@pytest.mark.parametrize("room", rooms())
def test_imports_go_through_the_doors(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        for module in imports(file):
            parts = module.split(".")
            if parts[0] == "forge" and len(parts) > 1 and not parts[1].startswith("_"):
                assert parts[1] in DOORS[room] | ANYWHERE | {room}, f"{file.name} imports {module}"


@pytest.mark.parametrize("name", sorted(ANYWHERE))
def test_what_every_room_may_use_uses_no_room(name: str) -> None:
    used = {module.split(".")[1] for module in imports(PACKAGE / f"{name}.py") if module.startswith("forge.")}
    assert used <= ANYWHERE


@pytest.mark.parametrize("room", sorted(LIGHT_ROOMS))
def test_light_rooms_name_no_heavy_library(room: str) -> None:
    for file in (PACKAGE / room).rglob("*.py"):
        assert not {module.split(".")[0] for module in imports(file)} & LIGHT_ROOMS[room], file.name


def test_the_engine_composes_nothing() -> None:
    for file in (PACKAGE / "engine").rglob("*.py"):
        assert not {"hydra", "omegaconf"} & {module.split(".")[0] for module in imports(file)}


def test_no_hydra_main_no_instantiate_no_pickle() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                assert not (
                    isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("hydra", "main")
                )
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                assert called != "instantiate", file
        assert "pickle" not in imports(file)


def test_planning_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = HEAVY | {"numpy", "pyarrow"}
    code = (
        "import sys\n"
        "sys.argv = ['forge', 'plan', '+recipe=legal_7b', 'hardware=8xh100', '--json']\n"
        "from forge.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ending:\n"
        "    assert ending.code == 0, ending.code\n"
        f"print('heavy:', sorted({heavy!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip().endswith("heavy: []")


def test_what_looks_before_a_run_loads_nothing_heavy() -> None:
    """Runs of a sweep, and a run that is about to say what is wrong, start as quickly as they can."""
    looks = "forge.run.run, forge.evaluate.preflight, forge.export.expressible, forge.engine.launch"
    code = f"import sys, {looks}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
