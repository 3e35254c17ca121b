"""What was found of a machine, as a table: each thing, how it stands, and the remedy below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from forge.cli.console import make_console
from forge.engine.checkup.finding import Finding
from forge.run.quantities import counted

STYLES = {"good": "green", "advice": "yellow", "fault": "bold red"}


def show_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding, its remedy below it, and what they come to."""
    console = make_console()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=STYLES[finding.state])
        table.add_row(state, finding.what, Text(finding.found))
        if finding.remedy:
            table.add_row("", "", Text(f"-> {finding.remedy}"))
    console.print(table)
    console.print()
    console.print(verdict(findings))


def verdict(findings: Sequence[Finding]) -> str:
    """Return what the findings come to."""
    states = Counter(finding.state for finding in findings)
    if states["fault"]:
        return f"a run would fail here: {counted(states['fault'], 'fault')}"
    if states["advice"]:
        pieces = "piece" if states["advice"] == 1 else "pieces"
        return f"runs work here; {states['advice']} {pieces} of advice"
    return "runs work here"
