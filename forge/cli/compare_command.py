"""`forge compare`: what a run has better and worse than another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from forge.errors import SpecError, StageError


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Folders of runs; the first is what the others are held against.",
            show_default=False,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write it as a page, with the curves of both; runs need not be finished.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what a run has better and worse than another: forge compare runs/NAME-1 runs/NAME-2"""
    if len(runs) < 2:
        raise SpecError("command line: RUN: names one run: name another to hold it against")
    if as_json and html is not None:
        raise SpecError("command line: --html: goes without --json: drop one")
    if html is not None:
        _write_page(runs, html)
        return

    from forge.run.evaluations import compare_runs

    found = [compare_runs(runs[0], other) for other in runs[1:]]
    if as_json:
        shown = found[0] if len(found) == 1 else found
        print(json.dumps(shown, indent=2, ensure_ascii=False, allow_nan=False))
        return

    from forge.cli.compare_view import show_comparison
    from forge.cli.console import make_console

    console = make_console()
    for other, one in zip(runs[1:], found, strict=True):
        show_comparison(console, one, runs[0].resolve().name, other.resolve().name)


def _write_page(runs: list[Path], path: Path) -> None:
    from forge.files import replace_text
    from forge.report.compare_page import compare_page
    from forge.report.record import read_record
    from forge.run.evaluations import compare_runs

    def comparison(other: Path) -> dict[str, Any] | None:
        try:
            return compare_runs(runs[0], other)
        except StageError:  # one is not evaluated yet: its curves can be seen all the same
            return None

    records = [read_record(run) for run in runs]
    title = f"{records[0].folder.name} beside {', '.join(record.folder.name for record in records[1:])}"
    text = compare_page(title, records, [comparison(other) for other in runs[1:]])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except OSError as error:
        raise SpecError(f"--html: {path}: cannot be written ({error.strerror}): name another place") from None
    print(f"written to {path}")
