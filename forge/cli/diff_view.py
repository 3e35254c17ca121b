"""Two plans side by side: what was asked differently, what follows from it, what it does."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from forge.cli.console import UNBOUNDED, make_console
from forge.plan.diff import Change, Effect, diff_plans
from forge.plan.types import Plan
from forge.run.quantities import duration, figure, money, size

MOST_CHARACTERS = 40
"""Of a value on one line of its column."""


def show_diff(before: Plan, after: Plan) -> None:
    """Print how plan `after` differs from plan `before`."""
    console = make_console()
    diff = diff_plans(before, after)
    console.print(f"[bold]{before.name}[/bold] {before.id}  →  [bold]{after.name}[/bold] {after.id}\n")
    if diff.empty:
        console.print("the same plan")
        return
    table = _table("change")
    for title, changes in (("asked", diff.asked), ("decided", diff.decided)):
        _section(table, title, changes)
    if diff.effects:
        table.add_row("[bold]what it does[/bold]")
        for effect in diff.effects:
            table.add_row(f"  {effect.name}", *_effect(effect))
    _print(console, table)
    if diff.stages:
        console.print(f"\nstages made anew: {', '.join(diff.stages)}", markup=False)


def show_asked(before: str, after: str, changes: tuple[Change, ...]) -> None:
    """Print how what is asked differs, where no plan says what follows from it."""
    console = make_console()
    console.print(f"[bold]{before}[/bold]  →  [bold]{after}[/bold]\n")
    if not changes:
        console.print("the same spec")
        return
    table = _table()
    _section(table, "asked", changes)
    _print(console, table)


def _table(*more: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("before", "after"):
        table.add_column(name, justify="right", max_width=MOST_CHARACTERS, overflow="fold")
    for name in more:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _print(console: Console, table: Table) -> None:
    """Print a table of which nothing is broken or cut; the terminal wraps a line that is too wide for it."""
    widest = Measurement.get(console, console.options.update(max_width=UNBOUNDED), table).maximum
    console.width = max(console.width, widest)
    console.print(table)


def _section(table: Table, title: str, changes: tuple[Change, ...]) -> None:
    if changes:
        table.add_row(f"[bold]{title}[/bold]")
    for change in changes:
        table.add_row(*map(Text, (f"  {change.key}", _text(change.before), _text(change.after))))


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _effect(effect: Effect) -> tuple[str, str, str]:
    change = "" if effect.ratio is None else f"{(effect.ratio - 1) * 100:+.1f} %"
    return _quantity(effect.before, effect.unit), _quantity(effect.after, effect.unit), change


def _quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "bytes":
        return size(value)
    if unit == "s":
        return duration(value)
    return money(value) if unit == "USD" else f"{figure(value)} {unit}"
