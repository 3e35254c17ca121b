"""Forge merges files itself, to know who set what; stock Hydra, given the same files, must come to the same spec."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from forge.spec.types import KeyPath, Spec, dotted
from tests.spec.workspace import Workspace

VALUES: dict[str, list[Any]] = {
    "name": ["a", "b-2", "2024"],
    "seed": [0, 7, 99],
    "train.weight_decay": [0.0, 0.3, 1],
    "train.gradient_clip": [0.5, 2.0],
    "train.learning_rate": [1e-4, 0.02],
    "train.steps": [None],
    "train.log_every_steps": [1, 5],
    "data.metadata_allow": [None, {"kind": ["a", "b"]}, {"kind": ["c"], "other": ["d"]}],
    "data.min_words": [0, 3, "${evaluate.sample_tokens}"],
    "data.path": [None, "docs", ["docs", "more"]],
    "evaluate.prompts": [[], ["one"], ["one", "two, three", "four: five"]],
    "evaluate.sample_tokens": [1, 8],
    "engine.zero_stage": ["auto", 1, 3],
    "engine.micro_batch_sequences": ["auto", 2],
    "export.dtype": ["auto", "fp32"],
}
CHOICES = {
    "model": ["llama_25m", "llama_3m", "llama_1b", "mixtral_8x1b"],
    "tokenizer": ["bpe_32k", "bpe_4k"],
    "hardware": ["local", "cpu", "8xh100", "1xh100"],
}
"""Groups of which no recipe sets a value, so that no choice is beaten."""

some_values = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 5), max_size=6).map(
    lambda picks: {key: VALUES[key][pick % len(VALUES[key])] for key, pick in picks.items()}
)
some_choices = st.dictionaries(st.sampled_from(sorted(CHOICES)), st.integers(0, 5), max_size=3).map(
    lambda picks: {group: CHOICES[group][pick % len(CHOICES[group])] for group, pick in picks.items()}
)


@st.composite
def compositions(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """Return recipes (a tree of up to five, the last one chosen) and a command line."""
    count = draw(st.integers(0, 5))
    recipes: dict[str, Any] = {}
    free: list[str] = []
    for number in range(count):
        bases = [name for name in free if draw(st.booleans())]
        free = [name for name in free if name not in bases] + [f"r{number}"]
        recipes[f"r{number}"] = (bases, draw(some_choices), draw(some_values))
    overrides = [f"{group}={option}" for group, option in draw(some_choices).items()]
    overrides += [f"{key}={_typed(value)}" for key, value in draw(some_values).items()]
    if count:
        overrides.append(draw(st.sampled_from(["", "+", "++"])) + f"recipe=r{count - 1}")
    return recipes, draw(st.permutations(overrides))


def _typed(value: Any) -> str:
    """Return a value as one types it."""
    if isinstance(value, str):
        return '"' + value + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(_typed, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_typed(child)}" for key, child in value.items()) + "}"
    return "null" if value is None else str(value)


def _nested(values: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[name] = value
    return tree


def _write(workspace: Workspace, stock: Path, recipes: dict[str, Any]) -> None:
    """Write the recipes for forge, and the same with Hydra's headers and order into a folder for Hydra."""
    shutil.rmtree(stock, ignore_errors=True)
    shutil.copytree(workspace.conf, stock)
    (stock / "recipe").mkdir()
    for name, (bases, choices, values) in recipes.items():
        extended: list[Any] = [*bases]
        chosen: list[Any] = [{f"override /{group}": option} for group, option in choices.items()]
        mine = yaml.safe_dump({"defaults": extended + chosen, **_nested(values)}, sort_keys=False)
        theirs = yaml.safe_dump(
            {"defaults": [*extended, "_self_", *chosen], **_nested(values)}, sort_keys=False
        )
        workspace.write(f"recipes/{name}.yaml", mine)
        (stock / f"recipe/{name}.yaml").write_text("# @package _global_\n" + theirs)


def _by_hydra(stock: Path, overrides: list[str]) -> dict[str, Any]:
    def spelled(override: str) -> str:
        if override.lstrip("+").startswith("recipe="):
            return "+" + override.lstrip("+")
        key = override.partition("=")[0]
        return f"++{override}" if "." in key else override

    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(stock)):
        composed = OmegaConf.to_container(hydra.compose("config", [*map(spelled, overrides)]), resolve=True)
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}


def _expected_origins(
    workspace: Workspace, recipes: dict[str, Any], overrides: list[str], spec: Spec
) -> dict[KeyPath, str]:
    """Return who set each value of the pool last, worked out from the files' text alone."""
    order = _merged(recipes, f"r{len(recipes) - 1}") if recipes else []
    expected: dict[KeyPath, str] = {}

    def say(key: str, value: Any, where: str) -> None:
        path = tuple(key.split("."))
        if isinstance(value, dict):
            expected.pop(path, None)
            for inner in value:
                expected[(*path, inner)] = where if where == "command line" else f"{where}+{inner}"
        else:
            for below in [other for other in expected if other[: len(path)] == path]:
                del expected[below]
            expected[path] = where

    for name in order:
        text = (workspace.folder / f"recipes/{name}.yaml").read_text().splitlines()
        for key, value in recipes[name][2].items():
            say(key, value, f"recipes/{name}.yaml:{_line_of(text, key)}")
    for path, where in list(expected.items()):
        if "+" in where:  # a field below a key: its line is found below the key's line
            file, _, rest = where.partition(":")
            line, _, inner = rest.partition("+")
            text = (workspace.folder / file).read_text().splitlines()
            below = next(at for at in range(int(line), len(text)) if text[at].strip().startswith(f"{inner}:"))
            expected[path] = f"{file}:{below + 1}"
    for override in overrides:
        key, _, _ = override.partition("=")
        if key in VALUES:
            value = next(v for v in VALUES[key] if override == f"{key}={_typed(v)}")
            say(key, value, "command line")
    return expected


def _merged(recipes: dict[str, Any], name: str) -> list[str]:
    return [inner for base in recipes[name][0] for inner in _merged(recipes, base)] + [name]


def _line_of(text: list[str], key: str) -> int:
    group, _, name = key.rpartition(".")
    start = text.index(f"{group}:") if group else -1
    indent = "  " if group else ""
    return next(at + 1 for at in range(start + 1, len(text)) if text[at].startswith(f"{indent}{name}:"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(compositions())
def test_random_compositions_are_hydra_s_and_every_origin_is_right(
    workspace: Workspace, composition: tuple[dict[str, Any], list[str]]
) -> None:
    recipes, overrides = composition
    stock = workspace.folder / "stock"
    shutil.rmtree(workspace.folder / "recipes", ignore_errors=True)
    _write(workspace, stock, recipes)

    spec = workspace.compose(*overrides)

    assert spec.values == _by_hydra(stock, overrides)
    for path, where in _expected_origins(workspace, recipes, overrides, spec).items():
        assert spec.origins[path][0].where == where, dotted(path)
    _check_that_every_place_names_its_key(workspace, spec)
    assert spec.recipes == tuple(_merged(recipes, f"r{len(recipes) - 1}") if recipes else ())
    for group in CHOICES:
        assert spec.choice_origins[group][0].value == spec.choices[group]


def _leaves(tree: dict[str, Any], path: KeyPath = ()) -> list[KeyPath]:
    found: list[KeyPath] = []
    for key, value in tree.items():
        found += _leaves(value, (*path, key)) if isinstance(value, dict) and value else [(*path, key)]
    return found


def _check_that_every_place_names_its_key(workspace: Workspace, spec: Spec) -> None:
    """On the line of every origin, in force or overridden, stands the key."""
    folders = {"conf": workspace.conf.parent, "recipes": workspace.folder}
    for path in _leaves(spec.values):
        for origin in spec.origins[path]:
            if origin.where == "command line":
                continue
            file, _, line = origin.where.rpartition(":")
            text = (folders[file.split("/")[0]] / file).read_text(encoding="utf-8").splitlines()
            assert text[int(line) - 1].strip().startswith(f"{path[-1]}:"), (path, origin.where)
