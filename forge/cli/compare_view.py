"""Two evaluations side by side, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forge.run.evaluation_words import change_lines

MOST_LISTED = 10


def show_comparison(console: Console, found: Mapping[str, Any], first: str, second: str) -> None:
    """Print what `compare_evaluations` found of two runs of these names."""
    table = Table(box=None, pad_edge=False)
    for column in ("", first, second, "difference"):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    for name, (one, other) in found["metrics"].items():
        gap = "" if one is None or other is None else f"{other - one:+.4f}"
        table.add_row(name, _figure(one), _figure(other), gap)
    console.print(table)
    console.print()
    show_changes(console, found)
    for name in ("broken", "fixed"):
        if found["questions"] is not None:
            _listed(console, name, found["questions"][name])


def show_changes(console: Console, found: Mapping[str, Any]) -> None:
    """Print what differs between two evaluations in a line about the text and one about the questions."""
    for line in change_lines(found):
        console.print(line, markup=False, soft_wrap=True)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _listed(console: Console, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    table = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for column in ("question", "right", "before", "after"):
        table.add_column(column, overflow="fold")
    for row in rows[:MOST_LISTED]:
        right = row["answers"][0] if row["answers"] else "(abstain)"
        table.add_row(*map(Text, (row["question"], right, *row["replies"])))
    console.print()
    console.print(table)
    if len(rows) > MOST_LISTED:
        console.print(f"and {len(rows) - MOST_LISTED} more: --json has all", style="dim")
