"""Who set each value: the files merged by OmegaConf's rule with the place of every value kept.

The rule is simple: mappings merge; scalars and lists replace what stood there. The tests hold the outcome against
Hydra's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from forge.spec.command_line import Setting
from forge.spec.defaults import is_recipe, own_values
from forge.spec.problems import COMMAND_LINE
from forge.spec.search_path import SpecFile
from forge.spec.types import KeyPath, Origin, Origins


@dataclass(slots=True)
class Replay:
    """A composed tree, unresolved, and for each leaf the places that set it, in force first."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)


def replay(files: Sequence[tuple[SpecFile, KeyPath]], settings: Sequence[Setting]) -> Replay:
    """Merge `files` (each with the key path it is placed at; recipes last), then the command line's settings."""
    result = Replay()
    recipes = sum(is_recipe(file) for file, _ in files)
    for order, (file, package) in enumerate(files, start=recipes - len(files)):
        _merge(result, package, own_values(file), _origins_in(file, package, order))
    for setting in settings:
        _merge(result, setting.key, setting.value, _origins_typed(recipes))
    return result


def _origins_in(file: SpecFile, package: KeyPath, order: int) -> Callable[[KeyPath, Any], Origin]:
    lines = file.document.lines

    def origin(path: KeyPath, value: Any) -> Origin:
        # A name such as hardware=64xh100 stands for values that no file holds: it is their place, without a line.
        made_up = bool(file.document.values) and not lines
        where = file.shown if made_up else f"{file.shown}:{lines.get(path[len(package) :], 1)}"
        return Origin(where, file.trust, value, order)

    return origin


def _origins_typed(order: int) -> Callable[[KeyPath, Any], Origin]:
    return lambda _, value: Origin(COMMAND_LINE, "command line", value, order)


def _merge(result: Replay, path: KeyPath, value: Any, origin: Callable[[KeyPath, Any], Origin]) -> None:
    if isinstance(value, dict):
        existing = _get(result.values, path)
        if not isinstance(existing, dict):
            _set(result.values, path, {})
            if path and not value:
                _record(result, path, origin(path, value))
        for key, child in value.items():
            _merge(result, (*path, str(key)), child, origin)
        return
    _set(result.values, path, value)
    below = [key for key in result.origins if len(key) > len(path) and key[: len(path)] == path]
    for key in below:
        del result.origins[key]
    _record(result, path, origin(path, value))


def _record(result: Replay, path: KeyPath, origin: Origin) -> None:
    for length in range(1, len(path)):
        result.origins.pop(path[:length], None)
    result.origins[path] = (origin, *result.origins.get(path, ()))


def _get(tree: Any, path: KeyPath) -> Any:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return tree


def _set(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    if not path:
        return
    for part in path[:-1]:
        child = tree.get(part)
        if not isinstance(child, dict):
            child = tree[part] = {}
        tree = child
    tree[path[-1]] = value
