"""`forge compare`: what a run has better and worse than another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of a run.", show_default=False)],
    run_b: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="Folder of the one to hold against it.", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what RUN_B has better and worse than RUN_A: forge compare runs/NAME-1 runs/NAME-2"""
    from forge.evaluate.compare import compare_evaluations
    from forge.run.evaluations import evaluation_of

    found = compare_evaluations(*(evaluation_of(run).folder for run in (run_a, run_b)))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return

    from forge.cli.compare_view import show_comparison
    from forge.cli.console import make_console

    show_comparison(make_console(), found, run_a.resolve().name, run_b.resolve().name)
