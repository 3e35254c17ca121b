"""`forge plan`: compile only, show the plan, write plan.json."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.cli.compiling import compile_overrides
from forge.cli.options import Overrides, overrides_of
from forge.errors import SpecError
from forge.files import replace_text
from forge.plan.machine import probe_machine
from forge.plan.types import PLAN_FORMAT, Plan, load_plan, plan_to_json


def plan(
    context: typer.Context,
    overrides: Overrides = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print plan.json, no tables; write nothing.")
    ] = False,
    spec: Annotated[
        bool, typer.Option("--spec", help="Print the composed spec, each value with its place.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Compare two: each a plan file, or overrides in quotes.")
    ] = False,
    why: Annotated[
        list[str] | None, typer.Option("--why", metavar="KEY", help="Show who set KEY, in force first.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where plan.json is written.")
    ] = Path("plan.json"),
) -> None:
    """Compile a plan and show it: forge plan +recipe=legal_7b hardware=8xh100"""
    tokens = overrides_of(context, overrides)
    if spec or why:
        _show_spec(tokens, why)
        return
    if diff:
        _show_diff(tokens)
        return
    compiled = compile_overrides(tokens, probe_machine(), needs_data=False)
    text = plan_to_json(compiled.plan)
    if as_json:
        sys.stdout.write(text)
        return
    _write(output, text)
    from forge.cli.plan_view import show_plan

    show_plan(compiled, output)


def _show_spec(tokens: list[str], why: list[str] | None) -> None:
    from forge.spec.compose import compose_spec
    from forge.spec.show import explain, spec_to_yaml

    composed = compose_spec(tokens)
    if not why:
        sys.stdout.write(spec_to_yaml(composed))
    for key in why or ():
        print("\n".join(explain(composed, key)))


def _show_diff(sides: list[str]) -> None:
    if len(sides) != 2:
        raise SpecError("command line: --diff: takes two: plan files, or overrides in quotes")
    from forge.cli.diff_view import show_diff

    before, after = (_either(side) for side in sides)
    show_diff(before, after)


def _either(side: str) -> Plan:
    """Return the plan of a file, or of overrides as one would type them."""
    if Path(side).is_file():
        return load_plan(Path(side))
    return compile_overrides(shlex.split(side), probe_machine(), needs_data=False).plan


def _write(output: Path, text: str) -> None:
    """Write the plan; a file of that name that is no plan is somebody's, and stays."""
    try:
        if output.exists() and not _is_plan(output):
            raise SpecError(f"{output}: is there and is not a plan: name another file with --output")
        replace_text(output, text)
    except OSError as error:
        raise SpecError(
            f"{error.filename or output}: cannot be written ({error.strerror}): name another file with --output"
        ) from None


def _is_plan(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == PLAN_FORMAT and "stages" in content
