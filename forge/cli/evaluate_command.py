"""`forge evaluate`: what a run's model is worth, on what its plan says or on another file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    on: Annotated[
        Path | None,
        typer.Option(
            "--on",
            metavar="FILE",
            help="Questions or text (.jsonl), facts (.csv), or a text file to measure it on.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a run's evaluation, or measure it on another file: forge evaluate runs/NAME --on questions.jsonl"""
    from forge.cli.console import make_console
    from forge.cli.evaluation_view import show_evaluation, show_given
    from forge.run.evaluations import evaluation_of

    if on is None:
        show_evaluation(make_console(), evaluation_of(run).summary)
        return

    from forge.run.display import shown_alone
    from forge.run.evaluate_run import evaluate_run

    with shown_alone("evaluate") as stage:
        found = evaluate_run(run, on, stage)
    console = make_console()
    show_given(console, found.content)
    console.print(f"written to {found.folder}", markup=False, soft_wrap=True)
