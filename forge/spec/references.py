"""References between values: `${train.tokens}`. Plain paths only: no resolver is ever called.

Checked before anything is expanded: each reference names a value there is, none goes in a circle, and the text
that comes out is bounded, so that no spec can make compiling slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from forge.spec.problems import Problem, did_you_mean, problem_at
from forge.spec.schema import SpecSchema
from forge.spec.types import KeyPath, Origin, dotted, origin_of

MAX_TEXT_CHARACTERS = 100_000

_REFERENCE = re.compile(r"\$\{([^{}$]*)\}")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)*\Z")


class _Unresolvable(Exception):
    """A reference that cannot be followed; its text says why."""


def resolve(
    values: dict[str, Any], origins: dict[KeyPath, tuple[Origin, ...]], schema: SpecSchema
) -> tuple[dict[str, Any], list[Problem], set[KeyPath]]:
    """Return the tree with references replaced, the problems, and the keys that could not be resolved."""
    known = {dotted(path): value for path, value in _leaves(values, ())}
    problems: list[Problem] = []
    unresolved: set[KeyPath] = set()
    memo: dict[str, Any] = {}

    def expand(value: Any, trail: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [expand(item, trail) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return follow(whole[1], trail)
        text = _REFERENCE.sub(lambda match: str(follow(match[1], trail)), value)
        if "${" in _REFERENCE.sub("", value):
            raise _Unresolvable(f"'{value[:60]}': only plain references like ${{train.tokens}} are allowed")
        if len(text) > MAX_TEXT_CHARACTERS:
            raise _Unresolvable(f"its references expand to more than {MAX_TEXT_CHARACTERS} characters")
        return text

    def follow(name: str, trail: tuple[str, ...]) -> Any:
        if not _PLAIN.match(name):
            raise _Unresolvable(
                f"'${{{name[:60]}}}': only plain references like ${{train.tokens}} are allowed"
            )
        if name not in known:
            if any(key.startswith(f"{name}.") for key in known):
                raise _Unresolvable(f"${{{name}}} is a group: refer to one of its keys")
            hint = did_you_mean(name, known, schema.also_called(tuple(name.split("."))))
            raise _Unresolvable(f"${{{name}}}: there is no key {name}.{hint}")
        if name in trail:
            raise _Unresolvable(f"goes in a circle: {' -> '.join((*trail, name))}")
        if name not in memo:
            memo[name] = expand(known[name], (*trail, name))
        return memo[name]

    resolved: dict[str, Any] = {}
    for path, value in _leaves(values, ()):
        try:
            expanded = expand(value, (dotted(path),))
        except _Unresolvable as error:
            problems.append(problem_at(origin_of(origins, path), f"{dotted(path)}: {error}"))
            unresolved.add(path)
            expanded = None
        node = resolved
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = expanded
    return resolved, problems, unresolved


def _leaves(tree: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
