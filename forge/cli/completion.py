"""What may be typed next, at a Tab: from the table of commands, listings of folders and the schemas alone."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from forge.cli.declared import Declared, declared
from forge.cli.main import COMMANDS, GROUPS, TAKES_OVERRIDES
from forge.errors import UserError
from forge.recipes.names import recipe_names
from forge.spec.schema import SpecSchema, spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, default_search_path
from forge.spec.text import printable
from forge.spec.types import dotted

_CURSOR = "\0"
_PLAN = "plan"
"""`forge-run plan=FILE`."""

Candidate = tuple[str, str]
"""A whole word, and what it means."""


def answer(arguments: Sequence[str]) -> int:
    """Print what may follow a line typed so far, a word a line and behind a tab what it means.

    Args:
        arguments: the line up to the cursor, as one word.
    """
    try:
        found = candidates(arguments[0] if arguments else "")
    except UserError as error:
        return error.exit_code
    # A name with a tab, a line's end or an escape is none that a shell could be given.
    lines = [f"{word}\t{meaning}" if meaning else word for word, meaning in found if word == printable(word)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def candidates(line: str) -> list[Candidate]:
    """Return the words that the last word of a line may become."""
    words = _words(line)
    if len(words) < 2:
        return []
    program, *before, typed = words
    if Path(program).name == "forge-run":
        before = ["run", *before]
    found = _candidates(before, typed)
    return sorted({word: meaning for word, meaning in found if word.startswith(typed)}.items())


def _words(line: str) -> list[str]:
    """Split a line as a shell would; the last word, at the cursor, may be empty or stand in open quotes."""
    for closing in ("", '"', "'"):
        try:
            *before, last = shlex.split(f"{line}{_CURSOR}{closing}")
        except ValueError:
            continue
        return [*before, last.removesuffix(_CURSOR)]
    return []


def _candidates(before: list[str], typed: str) -> Iterator[Candidate]:
    if not before:
        for name in COMMANDS:
            yield name, declared(name).summary
        yield from ((name, text) for name, (text, _) in GROUPS.items())
        return
    name, *rest = before
    if name in GROUPS:
        commands = GROUPS[name][1]
        if not rest:
            for command in commands:
                yield command, declared(f"{name}_{command}").summary
        elif rest[0] in commands:
            takes_overrides = commands[rest[0]] == TAKES_OVERRIDES
            yield from _parameters(declared(f"{name}_{rest[0]}"), takes_overrides, rest[1:], typed)
    elif name in COMMANDS:
        yield from _parameters(declared(name), COMMANDS[name] == TAKES_OVERRIDES, rest, typed)


def _parameters(
    command: Declared, takes_overrides: bool, before: list[str], typed: str
) -> Iterator[Candidate]:
    metavars = {name: option.metavar for option in command.options for name in option.names}
    if before and metavars.get(before[-1]):
        yield from _of_kind(metavars[before[-1]], typed)
        return
    if typed.startswith("-"):
        for option in command.options:
            yield from ((name, option.help) for name in option.names)
        return
    given = sum(
        not word.startswith("-") and not (index and metavars.get(before[index - 1]))
        for index, word in enumerate(before)
    )
    if given < len(command.arguments):
        yield from _of_kind(command.arguments[given], typed)
    elif takes_overrides:
        yield from _overrides(typed)
    elif command.arguments and command.arguments[-1].endswith("..."):
        yield from _of_kind(command.arguments[-1], typed)


def _of_kind(metavar: str, typed: str) -> Iterator[Candidate]:
    """Yield what an option's value or an argument of this name may be."""
    if metavar == "RECIPE":
        yield from ((name, "") for name in recipe_names(default_search_path()))
    elif metavar == "KEY":
        schema = spec_schema()
        yield from ((group, schema.root["properties"][group]["description"]) for group in schema.groups)
        yield from ((key, _title(schema, key)) for key in map(dotted, schema.leaves))
    elif metavar == "SHELL":
        yield from ((shell, "") for shell in ("bash", "fish", "zsh"))
    elif metavar != "NAME":
        yield from _paths(typed)


def _overrides(typed: str) -> Iterator[Candidate]:
    schema, search_path = spec_schema(), default_search_path()
    plus = typed[: len(typed) - len(typed.lstrip("+"))]
    key, equals, value = typed.removeprefix(plus).partition("=")
    if equals:
        # Of several values, one after the other, the last is being typed.
        first = value[: value.rfind(",") + 1]
        for candidate, meaning in _values(key, value.removeprefix(first), schema, search_path):
            yield f"{plus}{key}={first}{candidate}", meaning
        return
    yield f"{plus}{RECIPE_GROUP}=", "a recipe"
    for group in schema.groups:
        meaning = schema.root["properties"][group]["description"]
        yield f"{plus}{group}=", meaning
        if "." not in key:
            yield f"{plus}{group}.", f"a key of {group}"
    for name in map(dotted, schema.leaves):
        if "." not in name or "." in key:
            yield f"{plus}{name}=", _title(schema, name)


def _values(key: str, typed: str, schema: SpecSchema, search_path: SearchPath) -> Iterator[Candidate]:
    if key == RECIPE_GROUP:
        yield from ((name, "") for name in recipe_names(search_path))
        return
    if key in schema.groups:
        yield from ((option, "") for option in search_path.options(key))
        return
    node = schema.node(tuple(key.split("."))) or {}
    kinds = {node["type"]} if isinstance(node.get("type"), str) else set(node.get("type", ()))
    if key == _PLAN or node.get("x-forge-path") or (node.get("x-forge-trusted") and "string" in kinds):
        yield from _paths(typed)
    for value in node.get("enum", ()):
        yield ("null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)), ""
    if "boolean" in kinds:
        yield from (("true", ""), ("false", ""))


def _title(schema: SpecSchema, key: str) -> str:
    return str((schema.node(tuple(key.split("."))) or {}).get("title", ""))


def _paths(typed: str) -> Iterator[Candidate]:
    """Yield files and folders that begin as typed; folders end with `/`, hidden ones show once their dot is typed."""
    folder, slash, begun = typed.rpartition("/")
    try:
        with os.scandir(Path(f"{folder}{slash}" or ".").expanduser()) as entries:
            for entry in entries:
                if entry.name.startswith(begun) and not (entry.name.startswith(".") and not begun):
                    yield f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}", ""
    except (OSError, RuntimeError):  # not there, may not be read, or the folder of a user who has none
        return
