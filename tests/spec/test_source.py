from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from forge.spec.defaults import PRIMARY, read_defaults
from forge.spec.lineage import lineage_of
from forge.spec.search_path import SearchPath
from forge.spec.source import merge_order
from tests.spec.workspace import Workspace


def _order(
    path: SearchPath, choices: dict[str, str], recipe: str | None, *walked: str
) -> list[tuple[str, str]]:
    primary = path.find(PRIMARY)
    assert primary is not None
    entries = {PRIMARY: read_defaults(primary, path)[0]}
    for config_path in walked:
        entries |= lineage_of(config_path, path).entries
    files = merge_order(entries, choices, recipe, path)
    return [(file.config_path, ".".join(package)) for file, package in files]


START = [
    "data/folder",
    "tokenizer/bpe_32k",
    "model/llama_25m",
    "hardware/local",
    "train/pretrain",
    "engine/auto",
    "evaluate/held_out",
    "export/hf",
    "sweep/grid",
    "launch/local",
    "track/tensorboard",
]


def test_options_come_first_then_conf_then_recipes_base_first(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "")
    workspace.write("recipes/x.yaml", "defaults:\n  - base\n  - override /model: llama_3m\n")
    order = _order(
        workspace.search_path(),
        {"hardware": "8xh100"},
        "x",
        *START,
        "model/llama_3m",
        "hardware/8xh100",
        "recipe/x",
    )
    assert order == [
        ("data/folder", "data"),
        ("tokenizer/bpe_32k", "tokenizer"),
        ("model/llama_25m", "model"),
        ("model/llama_3m", "model"),
        ("hardware/local", "hardware"),
        ("hardware/_h100", "hardware"),
        ("hardware/8xh100", "hardware"),
        ("train/pretrain", "train"),
        ("engine/auto", "engine"),
        ("evaluate/held_out", "evaluate"),
        ("export/hf", "export"),
        ("sweep/grid", "sweep"),
        ("launch/local", "launch"),
        ("track/tensorboard", "track"),
        ("config", ""),
        ("recipe/base", ""),
        ("recipe/x", ""),
    ]


def test_only_a_small_part_of_hydra_is_loaded(tmp_path: Path) -> None:
    """Neither the plugins, which are code of whomever, nor the machinery that starts jobs, nor what trains."""
    program = """
import sys
from forge.spec.compose import compose_spec
compose_spec(["train.steps=3"])
unwanted = ["hydra_plugins", "torch", "transformers", "deepspeed", "numpy", "importlib_resources"]
print(sorted(name for name in sys.modules if name in unwanted or name.startswith("hydra._internal.core_plugins")))
from hydra.core.singleton import Singleton
print(sorted(kind.__name__ for kind in Singleton._instances if kind.__name__ == "Plugins"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
    )
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr


def test_the_spec_room_imports_no_other_room() -> None:
    for file in (Path(__file__).parents[2] / "forge/spec").glob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if line == "from forge import __version__":
                continue
            if words[:1] in (["import"], ["from"]) and words[1].startswith("forge"):
                assert words[1].startswith(("forge.spec", "forge.errors", "forge.resources")), (
                    f"{file.name}: {line}"
                )
