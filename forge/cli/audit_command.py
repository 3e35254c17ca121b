"""`forge audit`: look at raw documents, show what is there, write audit.json and audit.html."""

from __future__ import annotations

import json
import re
import shlex
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from forge.errors import SpecError
from forge.files import replace_text

AUDIT_JSON, AUDIT_HTML = "audit.json", "audit.html"
SIZES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def audit(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Folders or files of documents.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder for audit.json and audit.html.")
    ] = Path(),
    parameters: Annotated[
        str | None,
        typer.Option(
            "--parameters", metavar="SIZE", help="Size of the model you have in mind: 125M, 1B, 7B."
        ),
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            "--fix", metavar="FILE", help="Write a recipe that acts on the findings: recipes/clean.yaml."
        ),
    ] = None,
) -> None:
    """Look at raw documents: forge audit ~/documents --parameters 1B"""
    asked = None if parameters is None else _parameters(parameters)
    if fix is not None:
        _refuse_what_is_no_recipe(fix)
    for path in (output / AUDIT_JSON, output / AUDIT_HTML, *([fix] if fix else [])):
        _refuse_what_is_not_ours(path)
    report = _look(paths, asked)

    from forge.cli.audit_view import show_audit
    from forge.data.audit.fix import fix_spec, use_command
    from forge.report.audit_page import audit_page

    written = {output / AUDIT_JSON: json.dumps(report, ensure_ascii=False, indent=1) + "\n"}
    written[output / AUDIT_HTML] = audit_page(report)
    if fix is not None:
        written[fix] = fix_spec(report, fix)
    for path, text in written.items():
        _write(path, text)
    next_command = f"forge audit {shlex.join(paths)} --fix recipes/clean.yaml"
    show_audit(report, list(written), next_command if fix is None else use_command(paths, fix))


def _look(paths: list[str], asked: int | None) -> dict[str, Any]:
    from forge.data.audit.audit import audit as look
    from forge.run.display import shown_alone

    with shown_alone("audit") as stage:
        return look(paths, date.today(), asked, stage)


def _parameters(text: str) -> int:
    """Return 7000000000 for 7B."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMbBtT]?)", text.strip())
    size = float(found.group(1)) * SIZES.get(found.group(2).lower(), 1) if found else 0
    if size < 1:
        raise SpecError(f"--parameters: {text}: is no size of a model: give one like 125M, 1B or 7B")
    return int(size)


def _refuse_what_is_no_recipe(path: Path) -> None:
    """Stop before the work when forge would not find the file as a recipe.

    Raises:
        SpecError: another name is needed.
    """
    from forge.spec.search_path import is_option_name

    if path.suffix != ".yaml" or not is_option_name(path.stem):
        raise SpecError(f"--fix: {path}: is no name of a recipe: name it like recipes/clean.yaml")


def _refuse_what_is_not_ours(path: Path) -> None:
    """Stop before the work when a file is in the way that no audit wrote.

    Raises:
        SpecError: it is somebody's.
    """
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(4_000)
    except (OSError, UnicodeDecodeError):
        head = ""
    marks = ('"as_of"', "# From the audit of ", 'name="generator" content="forge audit"')
    if not any(mark in head for mark in marks):
        raise SpecError(f"{path}: is there and was not written by an audit: name another place")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be written ({error.strerror}): name another folder with --output"
        ) from None
