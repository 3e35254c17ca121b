"""Compose a spec: files and overrides in, values with their origins out, or every mistake at once.

Hydra's compose API does the composing and nothing else of Hydra runs: no `@hydra.main`, no `instantiate`, no
resolvers, no plugins. A recipe is data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from forge.errors import SpecError
from forge.resources import data_dir
from forge.spec import source
from forge.spec.command_line import CommandLine, read_command_line
from forge.spec.defaults import PRIMARY, check_choices, malformed
from forge.spec.origins import Replay, replay
from forge.spec.problems import COMMAND_LINE, Problem, raise_problems
from forge.spec.references import resolve
from forge.spec.rules import apply_rules
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile, default_search_path
from forge.spec.types import KeyPath, Spec
from forge.spec.validate import check_values


def compose_spec(overrides: Sequence[str], search_path: SearchPath | None = None) -> Spec:
    """Compose, locate and validate one spec.

    Args:
        overrides: Hydra overrides, as typed.
        search_path: where to look; that of this process where None.

    Raises:
        SpecError: with one line for every mistake in the command line and the files, sorted by place.
    """
    if search_path is None:
        search_path = default_search_path(
            packs=any("recipe" in token and "/" in token for token in overrides)
        )
    schema = spec_schema()
    line = read_command_line(overrides, search_path, schema)
    chain, problems = _recipe_chain(line.recipe, search_path)
    raise_problems(line.problems + problems if problems else [])

    composed = _ask_hydra(line, search_path)
    result = replay(composed.files, line.settings)
    if _canonical(result.values) != _canonical(composed.values):
        raise RuntimeError("the origins were replayed to another spec than Hydra's: this is a bug in forge")
    problems = line.problems + [
        problem for file, _ in composed.files for problem in _file_problems(file, search_path)
    ]

    values, reference_problems, unresolved = resolve(result.values, result.origins, schema)
    problems += reference_problems
    chosen_by = _chosen_by(line, chain, search_path)
    problems += check_values(values, result.origins, unresolved, schema)
    problems += _beaten_choices(result, composed.choices, chosen_by, chain, search_path)
    raise_problems(problems)

    values, rule_problems = apply_rules(values, result.origins, schema)
    raise_problems(rule_problems)
    notes = tuple(
        f"{search_path.find(f'{RECIPE_GROUP}/{name}').shown} hides forge's own recipe of that name"  # type: ignore[union-attr]
        for name in chain
        if search_path.shadowed(name)
    )
    return Spec(values, result.origins, tuple(chain), composed.choices, notes)


def _recipe_chain(recipe: str | None, search_path: SearchPath) -> tuple[list[str], list[Problem]]:
    """Return the recipes that take part, base first; a recipe that extends itself or is extended twice is a problem."""
    chain: list[str] = []
    problems: list[Problem] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        file = search_path.find(f"{RECIPE_GROUP}/{name}")
        if file is None:
            return
        for entry in check_choices(file, search_path)[0]:
            if entry.kind != "extend":
                continue
            base = entry.target.removeprefix(f"{RECIPE_GROUP}/")
            if base in (*trail, name):
                circle = " -> ".join((*trail, name, base))
                problems.append(Problem(file.shown, entry.line, f"extends itself: {circle}"))
            elif base in chain:
                message = f"{base} is extended twice, so its values would undo others: extend it once"
                problems.append(Problem(file.shown, entry.line, message))
            else:
                visit(base, (*trail, name))
        chain.append(name)

    if recipe is not None:
        visit(recipe, ())
    return chain, problems


@dataclass(frozen=True, slots=True)
class _Composed:
    """What Hydra made of the command line and the files."""

    files: list[tuple[SpecFile, KeyPath]]
    """In merge order, each with the key path it is placed at."""
    choices: dict[str, str]
    values: dict[str, Any]


def _ask_hydra(line: CommandLine, search_path: SearchPath) -> _Composed:
    token = source.ACTIVE_SEARCH_PATH.set(search_path)
    try:
        source.register()
        with initialize_config_dir(version_base="1.3", config_dir=str(data_dir("conf"))):
            loader = GlobalHydra.instance().config_loader()
            overrides = line.hydra_overrides()
            listed = loader.compute_defaults_list(PRIMARY, overrides, RunMode.RUN)
            values: Any = OmegaConf.to_container(hydra_compose(PRIMARY, overrides), resolve=False)
    except HydraException as error:
        raise SpecError(str(Problem(COMMAND_LINE, 0, str(error).splitlines()[0]))) from None
    finally:
        source.ACTIVE_SEARCH_PATH.reset(token)
    files: list[tuple[SpecFile, KeyPath]] = []
    for default in listed.defaults:
        path = default.config_path or ""
        file = None if path.startswith("hydra/") else search_path.find(path)
        if file is not None:
            files.append((file, tuple(default.package.split(".")) if default.package else ()))
    known = listed.overrides.known_choices
    choices = {group: str(known[group]) for group in search_path.groups() if known.get(group) is not None}
    return _Composed(files, choices, values)


def _canonical(values: dict[str, Any]) -> str:
    """One text for one tree; unlike `==` it takes a NaN to be itself."""
    return json.dumps(values, sort_keys=True)


def _file_problems(file: SpecFile, search_path: SearchPath) -> list[Problem]:
    problems = [Problem(file.shown, at, message) for at, message in file.document.errors]
    return problems + malformed(file) + check_choices(file, search_path)[1]


def _chosen_by(
    line: CommandLine, chain: Sequence[str], search_path: SearchPath
) -> dict[str, tuple[int, str]]:
    """Return, for each group chosen by a recipe or the command line, how late that was said and where."""
    chosen: dict[str, tuple[int, str]] = {}
    for rank, recipe in enumerate(chain):
        file = search_path.find(f"{RECIPE_GROUP}/{recipe}")
        for entry in check_choices(file, search_path)[0] if file else ():
            if entry.kind == "override":
                chosen[entry.target] = (rank, f"{file.shown}:{entry.line}")  # type: ignore[union-attr]
    for group in line.choices:
        chosen[group] = (len(chain), f"the {COMMAND_LINE}")
    return chosen


def _beaten_choices(
    result: Replay,
    choices: dict[str, str],
    chosen_by: dict[str, tuple[int, str]],
    chain: Sequence[str],
    search_path: SearchPath,
) -> list[Problem]:
    """Find values of a recipe that would silently beat a group chosen after that recipe spoke."""
    ranks = {}
    for rank, recipe in enumerate(chain):
        file = search_path.find(f"{RECIPE_GROUP}/{recipe}")
        if file is not None:
            ranks[file.shown] = rank
    problems = []
    for key, origins in result.origins.items():
        group = key[0]
        file_name, _, at = origins[0].where.rpartition(":")
        if group not in chosen_by or origins[0].trust != "recipe" or group == "hardware":
            continue
        rank, place = chosen_by[group]
        if ranks.get(file_name, 0) < rank:
            name = ".".join(key)
            message = (
                f"{name}: would beat {group}={choices[group]}, chosen by {place}: "
                f"set {name} there too, or drop that choice"
            )
            problems.append(Problem(file_name, int(at), message))
    return problems
