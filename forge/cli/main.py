"""The entry points `forge` and `forge-run`: the table of commands, and the one place where errors are shown."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from types import FrameType
from typing import Any

import typer

import forge
from forge.cli.usage import USAGE_ERROR, usage_line
from forge.errors import SpecError, UserError

TAKES_OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS: dict[str, dict[str, Any]] = {
    # name: settings; the function is `NAME` in `forge.cli.NAME_command`
    "run": TAKES_OVERRIDES,
    "plan": TAKES_OVERRIDES,
    "audit": {},
    "export": {},
    "evaluate": {},
    "compare": {},
    "track": {},
    "doctor": {},
}

GROUPS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    # name: (help, commands as above); the function is `GROUP_NAME` in `forge.cli.GROUP_NAME_command`
    "recipe": (
        "Recipes: what there is, what one says.",
        {
            "list": {},
        },
    ),
}


def main() -> None:
    """Run `forge` on the command line of this process."""
    arguments = sys.argv[1:]
    if not arguments or (arguments[0] in GROUPS and not arguments[1:]):
        arguments.append("--help")
    app = _app(help=forge.__doc__)
    app.callback()(_options)
    # Only the command that is asked for is imported; help shows all.
    asked = arguments[:1]
    for name in _asked(COMMANDS, asked, GROUPS):
        app.command(name, context_settings=COMMANDS[name])(_command(name))
    for group in _asked(GROUPS, asked, COMMANDS):
        text, commands = GROUPS[group]
        sub = _app(help=text)
        sub.callback()(_no_options)
        for name in _asked(commands, arguments[1:2], ()):
            sub.command(name, context_settings=commands[name])(_command(f"{group}_{name}"))
        app.add_typer(sub, name=group)
    sys.exit(call(app, "forge", arguments))


def _asked(names: Collection[str], asked: Sequence[str], others: Collection[str]) -> list[str]:
    """Return those of `names` that the command line asks for; all where it asks for none of these and no other."""
    found = [name for name in asked if name in names]
    return found or [name for name in names if not any(word in others for word in asked)]


def run_main() -> None:
    """Run `forge-run` on the command line of this process: the same as `forge run`."""
    app = _app()
    app.command(context_settings=COMMANDS["run"])(_command("run"))
    sys.exit(call(app, "forge-run", sys.argv[1:]))


def _command(name: str) -> Callable[..., None]:
    command: Callable[..., None] = getattr(importlib.import_module(f"forge.cli.{name}_command"), name)
    return command


def call(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status. A user's mistake shows its lines and nothing else."""
    for number in (signal.SIGTERM, signal.SIGUSR1):  # the second is how Slurm says that time is running out
        signal.signal(number, _terminate)
    try:
        _call(app, name, arguments)
        sys.stdout.flush()
    except typer.Exit as ending:
        return ending.exit_code
    except UserError as error:
        for line in error.lines:
            print(line, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        return 128 + (signal.SIGINT if type(interrupt) is KeyboardInterrupt else signal.SIGTERM)
    except BrokenPipeError:
        # Whoever read the output has left; Python must not complain when it closes the streams.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 128 + signal.SIGPIPE
    except Exception:
        traceback.print_exc()
        print("This is a fault in forge, not in what you typed.", file=sys.stderr)
        return 1
    return 0


def _call(app: typer.Typer, name: str, arguments: Sequence[str]) -> None:
    """Parse and carry out a command line.

    Typer's own way to do this turns interrupts and closed pipes into statuses of its own, and prints its usage.
    """
    command = typer.main.get_command(app)
    try:
        with command.make_context(name, [*arguments]) as context:
            command.invoke(context)
    except USAGE_ERROR as error:
        raise SpecError(usage_line(error, name, command, arguments)) from None


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1 came. Whatever an interrupt unwinds, this unwinds in the same way."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _app(**settings: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **settings
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


if __name__ == "__main__":
    main()
