"""Read the overrides of a command line: Hydra's grammar, forge's rules.

`recipe=X`, `+recipe=X` and `++recipe=X` are the same; so are `key=value`, `+key=value` and `++key=value`, for the
schema is closed and says which keys there are.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from forge.errors import SpecError
from forge.spec.problems import COMMAND_LINE, Problem, did_you_mean
from forge.spec.safe_yaml import has_control_characters, printable
from forge.spec.schema import SpecSchema
from forge.spec.search_path import RECIPE_GROUP, SearchPath
from forge.spec.types import KeyPath, dotted


@dataclass(frozen=True, slots=True)
class Setting:
    """One `key=value` of the command line."""

    key: KeyPath
    value: Any
    token: str


@dataclass(slots=True)
class CommandLine:
    """The overrides of one command line, sorted by what they do."""

    choices: dict[str, str] = field(default_factory=dict)
    """Group to chosen option."""
    settings: list[Setting] = field(default_factory=list)
    recipe: str | None = None
    problems: list[Problem] = field(default_factory=list)

    def hydra_overrides(self) -> list[str]:
        """Return the same as Hydra overrides, in Hydra's spelling."""
        overrides = [f"{group}={option}" for group, option in self.choices.items()]
        if self.recipe is not None:
            overrides.append(f"+{RECIPE_GROUP}={self.recipe}")
        overrides.extend(f"++{setting.token.lstrip('+')}" for setting in self.settings)
        return overrides


def read_command_line(tokens: Sequence[str], search_path: SearchPath, schema: SpecSchema) -> CommandLine:
    """Read overrides. What is wrong with them is collected in `problems`; the rest is usable."""
    line = CommandLine()
    for token in tokens:
        override = _parse(token, line.problems)
        if override is None:
            continue
        if override.is_sweep_override():
            _wrong(line, token, "names several values: add -m to run each, or write one list as [a,b]")
        else:
            _take(line, token, override, search_path, schema)
    return line


def expand_sweep(tokens: Sequence[str]) -> list[list[str]]:
    """Return the points of a sweep: every combination of the values that the overrides name.

    Raises:
        SpecError: an override cannot be read, or names a range without end.
    """
    problems: list[Problem] = []
    axes: list[list[str]] = []
    for token in tokens:
        override = _parse(token, problems)
        if override is None:
            continue
        if not override.is_sweep_override():
            axes.append([token])
        elif override.is_choice_sweep() or override.is_range_sweep():
            try:
                values = list(override.sweep_string_iterator())
            except (HydraException, ValueError) as error:
                problems.append(Problem(COMMAND_LINE, 0, f"{token}: {str(error).splitlines()[0]}"))
                continue
            axes.append([f"{override.get_key_element()}={value}" for value in values])
        else:
            problems.append(
                Problem(COMMAND_LINE, 0, f"{token}: has no end: name the values, or range(a,b,step)")
            )
    if problems:
        raise SpecError(*map(str, problems))
    return [list(point) for point in itertools.product(*axes)]


def _parse(token: str, problems: list[Problem]) -> Override | None:
    if has_control_characters(token):
        problems.append(Problem(COMMAND_LINE, 0, f"{printable(token)[:80]}: holds control characters"))
        return None
    parser = OverridesParser.create()
    try:
        return parser.parse_override(token)
    except HydraException:
        key, separator, value = token.partition("=")
        if separator and key and value and not set(value) & set("""'"[]{}(),\\$"""):
            # Hydra's grammar takes only ASCII without quotes; nothing else can be meant by such a value.
            with contextlib.suppress(HydraException):
                return parser.parse_override(f'{key}="{value}"')
        if "=" not in token and not token.startswith("~"):
            remedy = "is not an override: write key=value"
        else:
            remedy = f"cannot be read: quote the value, as '{key}=\"...\"' or [a,b] for a list"
        problems.append(Problem(COMMAND_LINE, 0, f"{token or repr(token)}: {remedy}"))
        return None


def _take(
    line: CommandLine, token: str, override: Override, search_path: SearchPath, schema: SpecSchema
) -> None:
    name = override.key_or_group
    if not name:
        _wrong(line, token, "is not an override: write key=value")
        return
    groups = search_path.groups()
    if name == "hydra" or override.is_hydra_override():
        _wrong(line, token, "forge has no hydra settings: drop it")
    elif override.package is not None:
        _wrong(line, token, "packages (@) are not used: write group=option or key=value")
    elif override.is_delete():
        _wrong(line, token, "a key cannot be deleted: set it to null, or choose another option")
    elif name == RECIPE_GROUP:
        _take_recipe(line, token, override.value(), search_path)
    elif name in groups:
        _take_choice(line, token, name, override.value(), search_path)
    else:
        _take_setting(line, token, override, groups, schema)


def _take_recipe(line: CommandLine, token: str, value: Any, search_path: SearchPath) -> None:
    if not isinstance(value, str):
        _wrong(line, token, "name one recipe; to join two, write a recipe that extends both")
        return
    if line.recipe is not None and line.recipe != value:
        _wrong(line, token, f"recipe={line.recipe} is chosen already: name one recipe")
        return
    if search_path.find(f"{RECIPE_GROUP}/{value}") is None:
        _wrong(line, token, no_such_option(RECIPE_GROUP, value, search_path))
        return
    line.recipe = value


def _take_choice(line: CommandLine, token: str, group: str, value: Any, search_path: SearchPath) -> None:
    if isinstance(value, dict):
        _wrong(line, token, f"choose a {group} by name, and set its keys as {group}.KEY=value")
        return
    option = value if isinstance(value, str) else token.partition("=")[2]
    if not isinstance(value, str) or option.startswith("_") or search_path.find(f"{group}/{option}") is None:
        _wrong(line, token, no_such_option(group, option, search_path))
        return
    if line.choices.get(group, option) != option:
        _wrong(line, token, f"{group}={line.choices[group]} is chosen already: choose one")
        return
    line.choices[group] = option


def _take_setting(
    line: CommandLine, token: str, override: Override, groups: tuple[str, ...], schema: SpecSchema
) -> None:
    key = tuple(override.key_or_group.replace("/", ".").split("."))
    if not schema.has_key(key):
        candidates = [*schema.keys(), *groups, RECIPE_GROUP]
        hint = did_you_mean(dotted(key), candidates, schema.also_called(key))
        _wrong(line, dotted(key) or token, f"no such key.{hint}")
        return
    line.settings.append(Setting(key, override.value(), override.input_line or token))


def no_such_option(group: str, option: str, search_path: SearchPath) -> str:
    """Return the message for an option that is not there."""
    options = search_path.options(group)
    hint = did_you_mean(option, options)
    if not hint:
        hint = f" there are: {', '.join(options)}" if options else " there are none"
    return f"there is no {group} '{option}'.{hint}"


def _wrong(line: CommandLine, token: str, message: str) -> None:
    line.problems.append(Problem(COMMAND_LINE, 0, f"{token}: {message}"))
