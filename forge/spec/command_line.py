"""Read the overrides of a command line: Hydra's grammar for values, forge's rules for what they may name.

`recipe=X`, `+recipe=X` and `++recipe=X` are the same; so are `key=value`, `+key=value` and `++key=value`, for the
schema is closed and says which keys there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, OverrideType, Sweep, ValueType

from forge.spec.hints import no_such_key, no_such_option
from forge.spec.problems import COMMAND_LINE, Problem
from forge.spec.references import ONLY_PLAIN_REFERENCES
from forge.spec.schema import SpecSchema, spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, is_option_name
from forge.spec.text import has_control_characters, printable, shortened, shown
from forge.spec.types import KeyPath, dotted

MAX_TOKEN_CHARACTERS = 10_000
MAX_BRACKETS = 200
"""Opening brackets in one override: far more than any list of a spec needs, and too few to nest deeply."""
MAX_INTEGER = 10**40

_TOKEN = re.compile(r"(?P<prefix>~|\+{0,2})(?P<key>[^=]*)(?P<equals>=?)(?P<value>.*)\Z", re.DOTALL)
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)*\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


class WrongOverride(Exception):
    """What is wrong with an override, and what to do; the override, or its part that is wrong, is shown before it."""

    def __init__(self, message: str, part: str | None = None) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class Setting:
    """One `key=value` of the command line."""

    key: KeyPath
    value: Any


@dataclass(slots=True)
class CommandLine:
    """The overrides of one command line, sorted by what they do."""

    choices: dict[str, str] = field(default_factory=dict)
    """Group to chosen option."""
    settings: list[Setting] = field(default_factory=list)
    recipe: str | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_command_line(tokens: Sequence[str], search_path: SearchPath, schema: SpecSchema) -> CommandLine:
    """Read overrides. What is wrong with them is collected in `problems`; the rest is usable."""
    line = CommandLine()
    for token in tokens:
        try:
            key, value = split_override(token, search_path)
            if key == RECIPE_GROUP:
                _take_recipe(line, value, search_path)
            elif key in schema.groups:
                _take_choice(line, key, value, search_path)
            else:
                _take_setting(line, key, value, schema)
        except WrongOverride as error:
            line.problems.append(wrong_override(token, error))
    line.notes += _given_twice(line.settings)
    return line


def _given_twice(settings: Sequence[Setting]) -> list[str]:
    """Say which keys were given several values; as in Hydra, the last counts."""
    values: dict[KeyPath, list[Any]] = {}
    for setting in settings:
        values.setdefault(setting.key, []).append(setting.value)
    return [
        f"{COMMAND_LINE}: {dotted(key)}: is given more than once: the last counts, {shown(given[-1])}"
        for key, given in values.items()
        if any(value != given[-1] for value in given) and not isinstance(given[-1], dict)
    ]


def wrong_override(token: str, error: WrongOverride) -> Problem:
    """Return the problem of one override."""
    part = printable(token if error.part is None else error.part)
    return Problem(COMMAND_LINE, 0, f"{shortened(part, 80) if part.strip() else repr(part)}: {error}")


def split_override(token: str, search_path: SearchPath) -> tuple[str, str]:
    """Return key and value of an override as typed, the key without its `+`.

    Raises:
        WrongOverride: it is not `key=value`, or of a kind that forge has no use for.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise WrongOverride(f"is longer than {MAX_TOKEN_CHARACTERS} characters")
    if has_control_characters(token):
        raise WrongOverride("holds control characters: remove them")
    match = _TOKEN.match(token)
    assert match is not None
    key = match["key"]
    if match["prefix"] == "~":
        raise WrongOverride("a key cannot be deleted: set it to null, or choose another option")
    if not match["equals"] or not key.strip():
        raise WrongOverride(_not_an_override(key, search_path))
    if "@" in key:
        raise WrongOverride("packages (@) are not used: write GROUP=OPTION or KEY=VALUE")
    if re.match(r"hydra([./]|\Z)", key):
        raise WrongOverride("forge has no hydra settings: drop it")
    if key != key.strip() or match["value"] != match["value"].strip():
        raise WrongOverride("write KEY=VALUE without spaces around =")
    return key, match["value"]


def parse_value(key: str, value: str) -> Override:
    """Read a value by Hydra's grammar; text that the grammar has no place for is taken as it stands.

    Raises:
        WrongOverride: the value cannot be read.
    """
    if value.count("[") + value.count("{") > MAX_BRACKETS:
        raise WrongOverride(f"holds more than {MAX_BRACKETS} brackets")
    try:
        override = OverridesParser.create().parse_override(f"key={value}")
        override.key_or_group = key
        return override
    except Exception:
        pass  # besides its own errors, Hydra's parser lets through whatever int() and its functions raise
    if re.fullmatch(r"[+-]?[0-9_]+", value):
        raise WrongOverride("is too large a number")
    if "${" in value:
        raise WrongOverride(ONLY_PLAIN_REFERENCES)
    if value.startswith(("'", '"', "[", "{")) or "," in value:
        raise WrongOverride(
            f"cannot be read: put text in quotes, as '{key}=\"...\"', and a list in brackets, as [a,b]"
        )
    # Letters beyond ASCII, a lone quote, a bracket: nothing else can be meant by such a value.
    return Override(OverrideType.CHANGE, key, ValueType.ELEMENT, value)


def _not_an_override(word: str, search_path: SearchPath) -> str:
    """Return the message for a word without `=`."""
    recipes = search_path.options(RECIPE_GROUP)
    name = re.split(r"[/\\]", word)[-1].removesuffix(".yaml")
    if name in recipes:
        return f"is not an override. did you mean recipe={name}?"
    if word.startswith("-"):
        return "is no option of this command"
    schema = spec_schema()
    form = "KEY=VALUE"
    if word == RECIPE_GROUP or word in schema.groups:
        form = f"{word}=NAME"
    elif schema.has_key(tuple(word.split("."))):
        form = f"{word}=VALUE"
    return f"is not an override: write {form}, without spaces around ="


def _element(key: str, text: str) -> Any:
    """Return the one value that `text` stands for."""
    override = parse_value(key, text)
    if override.is_sweep_override():
        raise WrongOverride(
            "names several values: run each with forge-run -m, write one list as [a,b], or put text with a comma in "
            "quotes"
        )
    value = override.value()
    check_plain(value)
    return value


def check_plain(value: Any) -> None:
    """Check that a value is made of what a spec may hold.

    Raises:
        WrongOverride: it holds a sweep, a key that is none, or a number beyond reason.
    """
    if isinstance(value, (Sweep, Glob)):
        raise WrongOverride("values to run one after the other cannot stand inside a list")
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise WrongOverride("is too large a number")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or not _NAME.match(key):
                raise WrongOverride(f"'{key}' is not a key: a key is letters, digits, - and _, from a letter")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_plain(inner)


def _take_recipe(line: CommandLine, text: str, search_path: SearchPath) -> None:
    value = _element(RECIPE_GROUP, text)
    if isinstance(value, (list, dict)):
        raise WrongOverride("name one recipe; to join two, write a recipe that extends both")
    if isinstance(value, str):
        text = value  # without its quotes
    if not is_option_name(text.rpartition("/")[2]) or search_path.find(f"{RECIPE_GROUP}/{text}") is None:
        raise WrongOverride(no_such_option(RECIPE_GROUP, text, search_path))
    if line.recipe is not None and line.recipe != text:
        raise WrongOverride(f"recipe={line.recipe} is chosen already: name one recipe")
    line.recipe = text


def _take_choice(line: CommandLine, group: str, text: str, search_path: SearchPath) -> None:
    value = _element(group, text)
    if isinstance(value, (list, dict)):
        raise WrongOverride(
            f"choose one option by name, as {group}=OPTION, and set keys as {group}.KEY=VALUE"
        )
    if isinstance(value, str):
        text = value  # without its quotes
    if not is_option_name(text) or search_path.find(f"{group}/{text}") is None:
        raise WrongOverride(no_such_option(group, text, search_path))
    if line.choices.get(group, text) != text:
        raise WrongOverride(f"{group}={line.choices[group]} is chosen already: choose one")
    line.choices[group] = text


def _take_setting(line: CommandLine, key: str, text: str, schema: SpecSchema) -> None:
    path = tuple(key.split("."))
    node = schema.node(path)
    if not _KEY.match(key) or node is None:
        raise WrongOverride(no_such_key(tuple(re.split(r"[./:]", key.strip("./:"))), schema), part=key)
    value = _element(key, text)
    kinds = {node["type"]} if isinstance(node.get("type"), str) else set(node.get("type", ()))
    if (
        isinstance(value, (bool, int, float))
        and "string" in kinds
        and not kinds & {"number", "integer", "boolean"}
    ):
        value = text  # a name such as 2024 or 1e5: a shell knows no types, the schema does
    line.settings.append(Setting(path, value))
