"""`forge completion`: what makes a shell complete forge's commands, options, recipes and keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError
from forge.spec.text import shown

SCRIPTS = Path(__file__).parent / "shells"


def completion(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> None:
    """Print what makes a shell complete at Tab: forge completion bash"""
    scripts = {file.suffix.removeprefix("."): file for file in SCRIPTS.iterdir()}
    if shell not in scripts:
        raise SpecError(
            f"command line: {shown(shell)}: no such shell: it is one of {', '.join(sorted(scripts))}"
        )
    sys.stdout.write(scripts[shell].read_text(encoding="utf-8"))
