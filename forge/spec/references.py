"""References between values: `${train.tokens}`. Plain paths only: no resolver is ever called. `\\${` is not one.

Each reference must name a value there is, none may go in a circle, and the text that comes out is bounded, so that
no spec can make compiling slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from forge.spec.hints import nearest_key, no_such_key
from forge.spec.problems import Problem, problem_at
from forge.spec.schema import SpecSchema
from forge.spec.text import shortened, shown
from forge.spec.types import KeyPath, Origins, dotted, origin_of

MAX_TEXT_CHARACTERS = 20_000
"""Of one value after its references are replaced."""
MAX_TOTAL_CHARACTERS = 200_000
"""Of all such values of a spec."""

ONLY_PLAIN_REFERENCES = (
    r"only plain references like ${train.tokens} are allowed (\${ stands for the characters themselves)"
)

_REFERENCE = re.compile(r"(?<!\\)\$\{([^{}$]*)\}")
_OPENING = re.compile(r"(?<!\\)\$\{")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)*\Z")


class _Unresolvable(Exception):
    """A reference that cannot be followed."""

    def __init__(self, key: str, why: str, once: object = None) -> None:
        super().__init__(why)
        self.key = key
        """Whose text is at fault; whatever refers to it is not said to be wrong as well."""
        self.once = (key, why) if once is None else once
        """What stays the same where the same fault is met again."""


def resolve(
    values: dict[str, Any], origins: Origins, schema: SpecSchema
) -> tuple[dict[str, Any], list[Problem], set[KeyPath]]:
    """Return the tree with references replaced, the problems, one a fault, and the keys that could not be resolved."""
    resolver = _Resolver({dotted(path): value for path, value in _leaves(values, ())}, schema)
    problems: dict[object, Problem] = {}
    unresolved: set[KeyPath] = set()
    resolved: dict[str, Any] = {}
    for path, value in _leaves(values, ()):
        try:
            expanded = resolver.expand(value, (dotted(path),))
        except _Unresolvable as error:
            where = origin_of(origins, tuple(error.key.split(".")))
            problems.setdefault(error.once, problem_at(where, f"{error.key}: {error}"))
            unresolved.add(path)
            expanded = None
        node = resolved
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = expanded
    return resolved, list(problems.values()), unresolved


def referred(value: Any) -> set[str]:
    """Return the keys that a value as written refers to, dotted."""
    if isinstance(value, list):
        return set().union(*map(referred, value))
    return set(_REFERENCE.findall(value)) if isinstance(value, str) else set()


class _Resolver:
    """Replaces references among the values of one spec, each followed once."""

    def __init__(self, known: dict[str, Any], schema: SpecSchema) -> None:
        self._known = known
        self._schema = schema
        self._followed: dict[str, Any] = {}
        self._total_characters = 0

    def expand(self, value: Any, trail: tuple[str, ...]) -> Any:
        """Return `value` without references. `trail` names the keys that led to it."""
        if isinstance(value, list):
            return [self._single(item, trail) for item in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return self._follow(whole[1], trail)
        if _OPENING.search(_REFERENCE.sub("", value)):
            raise _Unresolvable(trail[-1], f"{shown(value)}: {ONLY_PLAIN_REFERENCES}")
        return self._text(value, trail)

    def _text(self, value: str, trail: tuple[str, ...]) -> str:
        pieces: list[str] = []
        length, end = 0, 0
        for match in _REFERENCE.finditer(value):
            inner = self._single(match[0], trail)
            text = inner if isinstance(inner, str) else shown(inner)
            pieces += [_unescaped(value[end : match.start()]), text]
            length, end = length + match.start() - end + len(text), match.end()
            if length > MAX_TEXT_CHARACTERS:
                why = f"its references expand to more than {MAX_TEXT_CHARACTERS} characters"
                raise _Unresolvable(trail[-1], why)
        self._total_characters += length
        if self._total_characters > MAX_TOTAL_CHARACTERS:
            why = f"the spec's references expand to more than {MAX_TOTAL_CHARACTERS} characters"
            raise _Unresolvable(trail[-1], why, once=why)
        return "".join([*pieces, _unescaped(value[end:])])

    def _single(self, value: Any, trail: tuple[str, ...]) -> Any:
        """Expand what must become one value: an item of a list, a reference inside text."""
        if not isinstance(value, str):
            return value
        expanded = self.expand(value, trail)
        if isinstance(expanded, (list, dict)):
            why = f"{shown(value)} is a list or a mapping: it can only stand for a whole value"
            raise _Unresolvable(trail[-1], why)
        return expanded

    def _follow(self, name: str, trail: tuple[str, ...]) -> Any:
        short = shortened(name)
        if not _PLAIN.match(name):
            raise _Unresolvable(trail[-1], f"'${{{short}}}': {ONLY_PLAIN_REFERENCES}")
        if name not in self._known:
            if any(key.startswith(f"{name}.") for key in self._known):
                raise _Unresolvable(trail[-1], f"${{{name}}} is a group: refer to one of its keys")
            near = nearest_key(tuple(name.split(".")), self._schema)
            if near in self._known:
                raise _Unresolvable(
                    trail[-1], f"${{{short}}}: there is no such key. did you mean ${{{near}}}?"
                )
            raise _Unresolvable(
                trail[-1], f"${{{short}}}: {no_such_key(tuple(name.split('.')), self._schema)}"
            )
        if name in trail:
            circle = trail[trail.index(name) :]
            why = f"goes in a circle: {' -> '.join((*circle, name))}"
            raise _Unresolvable(name, why, once=frozenset(circle))
        if name not in self._followed:
            self._followed[name] = self.expand(self._known[name], (*trail, name))
        return self._followed[name]


def _unescaped(text: str) -> str:
    return text.replace("\\${", "${")


def _leaves(tree: dict[str, Any], path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value
