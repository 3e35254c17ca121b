"""`forge report`: a run, a sweep or a ladder as one HTML file; a run served while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, a sweep or a ladder.", show_default=False)
    ],
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
    """Write a run's page, finished or not, or a sweep's: forge report runs/NAME

    --live serves the same page while the run goes on, to this machine alone, under an address with a secret in it.
    """
    if live and output is not None:
        raise SpecError("command line: --output: goes without --live: drop one")
    if not live and (host is not None or port is not None):
        raise SpecError("command line: --host, --port: go with --live: add it, or drop them")
    write_sweep = _writer_of_sweep(run)
    if write_sweep is not None and (live or against is not None):
        raise SpecError(
            f"command line: {'--live' if live else '--against'}: goes with a run, and {run} is a sweep: drop it"
        )
    if live:
        from forge.report.live import serve_report

        serve_report(run, against, host or "127.0.0.1", port or 0)
        return

    from forge.report.run_page import write_report

    try:
        path = write_report(run, against, output) if write_sweep is None else write_sweep(run, output)
    except OSError as error:
        where = error.filename or output or run
        raise SpecError(
            f"{where}: cannot be written ({error.strerror}): name another place with --output"
        ) from None
    print(f"written to {path}")


def _writer_of_sweep(folder: Path) -> Callable[[Path, Path | None], Path] | None:
    """Return what writes the page of a folder that a sweep or a ladder left; None where it is another."""
    if (folder / "sweep.json").is_file():
        from forge.report.sweep_page import write_sweep_report

        return write_sweep_report
    if (folder / "ladder.json").is_file():
        from forge.report.ladder_page import write_ladder_report

        return write_ladder_report
    return None
