"""Mistakes in commands and options, as the one line a user reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from forge.spec.hints import did_you_mean
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a command line that it cannot parse; it gives that class no public name."""


def usage_line(error: Any, program: str, command: Any, arguments: Sequence[str]) -> str:
    """Return what is wrong with a command line that typer could not parse, and what to do.

    Args:
        error: a USAGE_ERROR.
        program: `forge`.
        command: the program as typer built it.
        arguments: as typed.
    """
    commands = getattr(command, "commands", {})
    word = arguments[0] if arguments else ""
    if word in commands:
        return usage_line(error, f"{program} {word}", commands[word], arguments[1:])
    if commands and not word.startswith("-"):
        return _no_such_command(word, list(commands))
    name = getattr(error, "option_name", None)
    if name is not None:
        option = next((each for each in command.params if name in each.opts), None)
        if option is None:
            return no_such_option(name, command.params)
        if getattr(option, "is_flag", False):
            return f"command line: {name}: takes no value: write {name} alone"
        return f"command line: {name}: needs a value: {name} {option.metavar or 'VALUE'}"
    missing = getattr(error, "param", None)
    if missing is not None and not error.message:
        if missing.opts[0].startswith("-"):
            option = f"{missing.opts[0]} {missing.metavar}"
            return f"command line: {missing.opts[0]}: is missing: {program} ... {option}"
        return f"command line: {missing.metavar}: is missing: {program} {missing.metavar}"
    message = error.format_message().strip().rstrip(".")
    return f"command line: {message[:1].lower()}{message[1:]}: see {program} --help"


def no_such_option(word: str, parameters: Sequence[Any]) -> str:
    """Return the line for a word that looks like an option of a command with these parameters, and is none."""
    known = [name for parameter in parameters for name in parameter.opts if name.startswith("-")]
    override = word.lstrip("-")
    if "=" in override and word.partition("=")[0] not in known and _is_key(override.partition("=")[0]):
        return f"command line: {word}: no such option: keys are written without dashes: {override}"
    return f"command line: {word}: no such option.{did_you_mean(word, known)}"


def _is_key(name: str) -> bool:
    schema = spec_schema()
    return name == RECIPE_GROUP or name in schema.groups or schema.has_key(tuple(name.split(".")))


def _no_such_command(word: str, commands: Sequence[str]) -> str:
    if "=" in word:
        return f"command line: {word}: is no command: say what to do with it: forge plan {word}"
    hint = did_you_mean(word, commands) or f" there are: {', '.join(commands)}"
    return f"command line: {word}: no such command.{hint}"
