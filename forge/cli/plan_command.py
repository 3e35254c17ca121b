"""`forge plan`: compile only, show the plan, write plan.json."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from forge.cli.compiling import compile_overrides
from forge.cli.ladder import ladder_of
from forge.cli.notes import show_notes
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
        bool,
        typer.Option(
            "--diff",
            help="Compare two plans: --diff A B [OVERRIDE]... with A and B each a plan file or overrides in quotes, "
            "and what follows common to both.",
        ),
    ] = False,
    multirun: Annotated[
        bool,
        typer.Option("--multirun", "-m", help="Show every run of a sweep and what all cost; write nothing."),
    ] = False,
    why: Annotated[
        list[str] | None, typer.Option("--why", metavar="KEY", help="Show who set KEY, in force first.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the plan is written; else plan.json."),
    ] = None,
) -> None:
    """Compile a plan and show it: forge plan +recipe=legal_7b hardware=8xh100"""
    tokens = overrides_of(context, overrides)
    asked = {
        "--json": as_json,
        "--spec": spec,
        "--diff": diff,
        "--multirun": multirun,
        "--why": why,
        "--output": output,
    }
    _refuse_two([name for name, value in asked.items() if value])
    if spec or why:
        _show_spec(tokens, why)
        return
    if diff:
        _show_diff(tokens)
        return
    if multirun:
        from forge.cli.sweep_plan import plan_sweep
        from forge.run.display import make_display

        plan_sweep(tokens, make_display(sys.stderr, quiet=True))
        return
    machine = probe_machine()
    compiled = compile_overrides(tokens, machine, needs_data=False)
    text = plan_to_json(compiled.plan)
    if as_json:
        show_notes(compiled.spec.notes)
        sys.stdout.write(text)
        return
    output = output or Path("plan.json")
    _write(output, text)
    from forge.cli.plan_view import show_plan

    show_plan(compiled, output)
    if compiled.spec.values["sweep"]["method"] == "ladder":
        from forge.cli.ladder_view import show_ladder

        print()
        show_ladder(ladder_of(compiled, machine), compiled.plan)


def _refuse_two(asked: list[str]) -> None:
    """Refuse two options that each say what is shown or written: one would be passed over in silence."""
    if len(asked) > 1:
        raise SpecError(f"command line: {' and '.join(asked)} do not go together: give one")


def _show_spec(tokens: list[str], why: list[str] | None) -> None:
    from forge.spec.compose import compose_spec
    from forge.spec.show import explain, spec_to_yaml

    composed = compose_spec(tokens)
    show_notes(composed.notes)
    if not why:
        sys.stdout.write(spec_to_yaml(composed))
    for key in why or ():
        print("\n".join(explain(composed, key)))


def _show_diff(words: list[str]) -> None:
    if len(words) < 2:
        raise SpecError("command line: --diff: takes two: plan files, or overrides in quotes")
    from forge.cli.diff_view import show_diff

    before, after = (_side(side, words[2:]) for side in words[:2])
    show_diff(before, after)


def _side(side: str, common: list[str]) -> Plan:
    """Return the plan of one side of --diff: of a file, or of overrides as one would type them.

    What a side says itself wins over what is said for both.
    """
    if (side and "=" not in side) or Path(side).is_file():
        if not Path(side).exists():
            raise SpecError(
                f"{side}: no such file: name a plan, or give overrides in quotes, as 'hardware=8xh100'"
            )
        if common:
            raise SpecError(f"{side}: is a plan as it was compiled: leave out {' '.join(common)}")
        return load_plan(Path(side))
    try:
        own = shlex.split(side)
    except ValueError as error:
        raise SpecError(
            f"command line: {side}: cannot be split into overrides ({error}): mend its quotes"
        ) from None
    return compile_overrides([*common, *own], probe_machine(), needs_data=False).plan


def _write(output: Path, text: str) -> None:
    """Write the plan; a file of that name that is no plan is somebody's, and stays."""
    try:
        if output.exists() and not _is_plan(output):
            raise SpecError(f"{output}: is there and is not a plan: name another file with --output")
        replace_text(output, text)
    except OSError as error:
        missing = "" if output.parent.exists() else f"make the folder {output.parent}, or "
        raise SpecError(
            f"{output}: cannot be written ({error.strerror}): {missing}name another file with --output"
        ) from None


def _is_plan(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == PLAN_FORMAT and "stages" in content
