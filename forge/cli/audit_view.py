"""An audit as a few tables; the whole of it is in audit.html."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forge.cli.console import make_console
from forge.run.quantities import count, counted, size

MOST_ROWS = 8
MOST_LISTED = 5
PASSAGE_CHARACTERS = 160


def show_audit(report: Mapping[str, Any], written: Sequence[Path], next_command: str) -> None:
    """Print a summary of an audit, where the whole of it is, and the command that acts on it."""
    console = make_console()
    _overview(console, report)
    for key, name in (
        ("by_source", "folder"),
        ("by_type", "type"),
        ("by_year", "year"),
        ("by_language", "language"),
    ):
        _volume(console, report["volume"][key], name)
    _findings(console, report)
    _conflicts(console, report["conflicts"])
    _secrets(console, report["secrets"]["by_kind"])
    _advice(console, report["advice"])
    for path in written:
        console.print(f"written to {path}", markup=False, soft_wrap=True)
    console.print(f"to act on it: {next_command}", markup=False, soft_wrap=True)


def _overview(console: Console, report: Mapping[str, Any]) -> None:
    volume, tokens, usable = report["volume"], report["tokens"], report["usable"]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row(
        "documents",
        f"{volume['documents']:,} in {counted(volume['files'], 'file')}; "
        f"{counted(volume['files_set_aside'], 'file')} without text",
    )
    table.add_row("text", f"{size(volume['bytes'])}, {counted(volume['words'], 'word')}")
    table.add_row("tokens", _interval(tokens))
    table.add_row("", f"{tokens['bytes_per_token']:.2f} bytes a token: {tokens['how']}")
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in usable["left_out"].items()) or "nothing"
    table.add_row(
        "usable", f"{_interval(usable)} in {counted(usable['documents'], 'document')}; left out: {left_out}"
    )
    console.print(table)


def _interval(tokens: Mapping[str, int]) -> str:
    return f"{tokens['tokens']:,} ({tokens['tokens_low']:,} to {tokens['tokens_high']:,})"


def _volume(console: Console, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column(name)
    for column in ("documents", "text", "tokens"):
        table.add_column(column, justify="right")
    for row in rows[:MOST_ROWS]:
        table.add_row(
            Text(row["name"]),
            f"{row['documents']:,}",
            size(row["bytes"]),
            f"{row['tokens']:,}",
        )
    if len(rows) > MOST_ROWS:
        rest = rows[MOST_ROWS:]
        table.add_row(
            counted(len(rest), "other"),
            f"{sum(row['documents'] for row in rest):,}",
            size(sum(row["bytes"] for row in rest)),
            f"{sum(row['tokens'] for row in rest):,}",
        )
    console.print()
    console.print(table)


def _findings(console: Console, report: Mapping[str, Any]) -> None:
    duplicates = report["duplicates"]
    near = [one["documents"] for one in duplicates["near"]]
    reasons = Counter(one["reason"] for entry in report["stale"] for one in entry["reasons"])
    aside = Counter(one["reason"] for one in report["without_text"])
    rows = [
        (
            "exact copies",
            sum(len(group) - 1 for group in duplicates["exact"]),
            f"in {counted(len(duplicates['exact']), 'group')}",
        ),
        (
            "near copies",
            sum(len(group) - 1 for group in near),
            f"in {counted(len(near), 'group')}, Jaccard 0.8 and more",
        ),
        (
            "version families",
            len(report["versions"]),
            counted(sum(len(one["members"]) - 1 for one in report["versions"]), "older version"),
        ),
        ("stale documents", len(report["stale"]), _counts(reasons)),
        ("conflicts", len(report["conflicts"]), "the same thing said with two values"),
        ("shared lines", len(report["boilerplate"]), "boilerplate: footers, navigation, disclaimers"),
        ("without text", len(report["without_text"]), _counts(aside)),
    ]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")
    for name, found, remark in rows:
        table.add_row(name, f"{found:,}", Text(remark))
    console.print()
    console.print(table)


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())


def _conflicts(console: Console, conflicts: Sequence[Mapping[str, Any]]) -> None:
    if not conflicts:
        return
    console.print("\n[bold]conflicts[/bold]")
    for conflict in conflicts[:MOST_LISTED]:
        console.print(f"  {conflict['subject']}: {conflict['attribute']}", markup=False)
        for side in ("first", "second"):
            claim = conflict[side]
            newer = "  (newer)" if conflict["newer"] == side else ""
            console.print(f"    {claim['passage'][:PASSAGE_CHARACTERS]}", markup=False, soft_wrap=True)
            console.print(
                f"      {claim['document']['path']}:{claim['line']}{newer}",
                style="dim",
                markup=False,
                soft_wrap=True,
            )
    _more(console, conflicts)


def _secrets(console: Console, kinds: Sequence[Mapping[str, Any]]) -> None:
    if not kinds:
        return
    table = Table("personal data and secrets", "values", "documents", box=None, pad_edge=False)
    for kind in kinds:
        table.add_row(kind["kind"], f"{kind['values']:,}", f"{kind['documents']:,}")
    console.print()
    console.print(table)


def _advice(console: Console, advice: Mapping[str, Any]) -> None:
    console.print(f"\n[bold]what this data can do: {advice['recommendation']}[/bold]")
    for need in advice["needs"]:
        console.print(
            f"  {count(need['parameters'])} parameters ask for {count(need['compute_optimal_tokens'])} "
            f"tokens: {need['verdict']}",
            markup=False,
        )
    for title, lines in (("because", advice["reasons"]), ("what would change it", advice["would_change"])):
        console.print(f"  {title}", style="dim")
        _lines(console, lines)
    console.print()


def _lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(f"    {line}", markup=False)


def _more(console: Console, rows: Sequence[Any]) -> None:
    if len(rows) > MOST_LISTED:
        console.print(f"  and {len(rows) - MOST_LISTED:,} more in audit.html", style="dim")
