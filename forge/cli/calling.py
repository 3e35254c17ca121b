"""One command line, carried out by typer: its exit status, and the one place where errors are shown."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import typer

from forge.cli.usage import USAGE_ERROR, usage_line
from forge.errors import SpecError, UserError
from forge.run.interrupts import interrupting_signal, listen


def call(app: typer.Typer, name: str, arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status. A user's mistake shows its lines and nothing else."""
    listen()
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
        return 128 + interrupting_signal(interrupt)
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
