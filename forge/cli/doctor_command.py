"""`forge doctor`: look at this machine and say what would fail, and the remedy."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError


def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where runs are to be kept.", show_default=False)
    ] = Path(),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings for a machine to read.")
    ] = False,
) -> None:
    """Look at this machine: forge doctor

    Says what a run would find here, what would fail and the remedy. Exit status 1 where a run would fail.
    """
    if not folder.is_dir():
        raise SpecError(f"command line: {folder}: is no folder: name the one where runs are to be kept")
    from forge.cli.doctor_view import show_findings
    from forge.engine.checkup.examine import examine

    findings = examine(folder.resolve())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        show_findings(findings)
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)
