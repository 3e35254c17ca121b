"""`forge report`: a run as one HTML file, or served while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            help="The run to hold it against; else the last of the same name before it.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it; else report.html in RUN.",
            show_default=False,
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Serve it, and keep it up to date.")] = False,
    host: Annotated[
        str | None,
        typer.Option("--host", help="With --live: the address to listen at.", show_default="127.0.0.1"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="With --live: the port.", show_default="a free one"),
    ] = None,
) -> None:
    """Write a run's page, finished or not: forge report runs/NAME

    --live serves the same page while the run goes on, to this machine alone, under an address with a secret in it.
    """
    if live and output is not None:
        raise SpecError("command line: --output: goes without --live: drop one")
    if not live and (host is not None or port is not None):
        raise SpecError("command line: --host, --port: go with --live: add it, or drop them")
    if live:
        from forge.report.live import serve_report

        serve_report(run, against, host or "127.0.0.1", port or 0)
        return

    from forge.report.run_page import write_report

    try:
        path = write_report(run, against, output)
    except OSError as error:
        where = error.filename or output or run
        raise SpecError(
            f"{where}: cannot be written ({error.strerror}): name another place with --output"
        ) from None
    print(f"written to {path}")
