"""Who set each value: the composition replayed with the place of every value kept.

OmegaConf's rule is simple (mappings merge; scalars and lists replace what stood there), so replaying the same
files in the same order gives the same tree; `compose` checks that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from forge.spec.command_line import Setting
from forge.spec.defaults import own_values
from forge.spec.problems import COMMAND_LINE
from forge.spec.search_path import SpecFile
from forge.spec.types import KeyPath, Origin


@dataclass(slots=True)
class Replay:
    """A composed tree, unresolved, and for each leaf the places that set it, in force first."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, tuple[Origin, ...]] = field(default_factory=dict)


def replay(files: Sequence[tuple[SpecFile, KeyPath]], settings: Sequence[Setting]) -> Replay:
    """Merge `files` (each with the key path it is placed at), then the command line's settings."""
    result = Replay()
    for file, package in files:
        lines = file.document.lines

        def origin(path: KeyPath, value: Any, file: SpecFile = file, package: KeyPath = package) -> Origin:
            line = lines.get(path[len(package) :], 1)  # noqa: B023 - called before the next turn
            return Origin(f"{file.shown}:{line}", file.trust, value)

        _merge(result, package, own_values(file), origin)
    for setting in settings:
        _merge(
            result, setting.key, setting.value, lambda _, value: Origin(COMMAND_LINE, "command line", value)
        )
    return result


def _merge(result: Replay, path: KeyPath, value: Any, origin: Callable[[KeyPath, Any], Origin]) -> None:
    if isinstance(value, dict):
        existing = _get(result.values, path)
        if not isinstance(existing, dict):
            _set(result.values, path, {})
            if path and not value:
                _record(result, path, origin(path, value))
        for key, child in value.items():
            _merge(result, (*path, str(key)), child, origin)
        if value and path in result.origins:
            del result.origins[path]
        return
    _set(result.values, path, value)
    for below in [key for key in result.origins if len(key) > len(path) and key[: len(path)] == path]:
        del result.origins[below]
    _record(result, path, origin(path, value))


def _record(result: Replay, path: KeyPath, origin: Origin) -> None:
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
