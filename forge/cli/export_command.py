"""`forge export`: give a run's model a form that others load, and prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError

FORMATS = ("hf", "gguf", "ollama", "megatron")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMATS", help=f"Of {', '.join(FORMATS)}, with commas between.")
    ] = "hf",
) -> None:
    """Export a run's model, or the newest checkpoint of one in training: forge export runs/NAME --to hf,gguf,ollama

    Nothing is published that is not proven equal to what was trained. `megatron` is the run's tokens, for other
    trainers.
    """
    formats = _formats(to)
    if not (run / "plan.json").is_file():
        raise SpecError(f"{run}: is no folder of a run (it has no plan.json): name one below runs/")

    from forge.cli.console import make_console
    from forge.cli.run_view import model_folder, show_use
    from forge.run.display import shown_alone
    from forge.run.export_run import export_run
    from forge.run.export_tokens import MEGATRON, export_tokens
    from forge.run.headlines import headline

    console = make_console()
    if MEGATRON in formats:
        with shown_alone("export") as stage:
            tokens = export_tokens(run, stage)
        console.print(f"tokens: {tokens.folder}", markup=False, soft_wrap=True)
        formats.remove(MEGATRON)
    if not formats:
        return
    with shown_alone("export") as stage:
        artifact = export_run(run, formats, stage)
    console.print(headline(artifact), markup=False, soft_wrap=True)
    console.print(f"model: {model_folder(artifact.folder)}", markup=False, soft_wrap=True)
    show_use(console, artifact.folder)


def _formats(text: str) -> list[str]:
    """Return the formats that an option names.

    Raises:
        SpecError: one is not known, or named twice.
    """
    named = text.split(",")
    for name in named:
        if name not in FORMATS:
            raise SpecError(f"command line: --to: {name!r} is not one of {', '.join(FORMATS)}")
        if named.count(name) > 1:
            raise SpecError(f"command line: --to: names {name} twice: name it once")
    return named
