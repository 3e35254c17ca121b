"""The programs `forge` and `forge-run`, as typer runs them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import typer

import forge
from forge.cli.calling import call
from forge.cli.main import COMMANDS, GROUPS

WIDEST_HELP = 120
"""Columns of a terminal that help makes use of."""


def run_forge(arguments: list[str]) -> int:
    """Carry out a command line of `forge` and return its exit status."""
    if not arguments or (arguments[0] in GROUPS and not arguments[1:]):
        arguments = [*arguments, "--help"]
    app = _app(help=forge.__doc__)
    app.callback()(_options)
    # Only the command that is asked for is imported; help shows all.
    asked = arguments[:1]
    for name in _asked(COMMANDS, asked, GROUPS):
        app.command(name, context_settings=COMMANDS[name])(command_function(name))
    for group in _asked(GROUPS, asked, COMMANDS):
        text, commands = GROUPS[group]
        sub = _app(help=text)
        sub.callback()(_no_options)
        for name in _asked(commands, arguments[1:2], ()):
            sub.command(name, context_settings=commands[name])(command_function(f"{group}_{name}"))
        app.add_typer(sub, name=group)
    return call(app, "forge", arguments)


def run_forge_run(arguments: list[str]) -> int:
    """Carry out a command line of `forge-run` and return its exit status."""
    app = _app()
    app.command(context_settings=COMMANDS["run"])(command_function("run"))
    return call(app, "forge-run", arguments)


def _asked(names: Collection[str], asked: Sequence[str], others: Collection[str]) -> list[str]:
    """Return those of `names` that the command line asks for; all where it asks for none of these and no other."""
    found = [name for name in asked if name in names]
    return found or [name for name in names if not any(word in others for word in asked)]


def command_function(name: str) -> Callable[..., None]:
    """Return the function that is a command, `plan` or `recipe_list`."""
    command: Callable[..., None] = getattr(importlib.import_module(f"forge.cli.{name}_command"), name)
    return command


def _app(**settings: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": WIDEST_HELP},
        **settings,
    )


def _show_version(asked: bool) -> None:
    if asked:
        print(f"forge {forge.__version__}")
        raise typer.Exit


def _no_options() -> None:
    pass


def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show forge's version."
    ),
) -> None:
    pass
