"""What a sweep shows: what it is predicted to cost, and its runs by rank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from forge.cli.console import make_console
from forge.run.quantities import counted, duration, figure, money
from forge.run.sweep.point import Point
from forge.run.sweep.record import Sweep

MOST_ROWS = 50


def cost_line(sweep: Sweep, points: Sequence[Point], done: int, runs: int) -> str:
    """Return what a sweep is, and what it is predicted to cost.

    Args:
        sweep: what it is.
        points: its runs as far as they are known.
        done: of them, before.
        runs: of the whole sweep.
    """
    begin = f"sweep {sweep.folder.name}: {counted(runs, 'run')}"
    if done:
        begin += f", {done:,} done before"
    if sweep.method == "optuna":
        return f"{begin}, each chosen by those before it"
    estimates = [point.plan.estimates for point in points]
    training_s = sum(each.wall_clock_s for each in estimates)
    gpu_hours = sum(each.gpu_hours for each in estimates)
    parts = [f"{duration(training_s)} of training in all"]
    if gpu_hours:
        known = [each.cost_usd for each in estimates if each.cost_usd is not None]
        parts.append(f"{figure(gpu_hours)} GPU-hours")
        parts.append(money(sum(known)) if len(known) == len(estimates) else "price unknown")
    band = max((each.time_error_fraction for each in estimates), default=0.0)
    return f"{begin}; predicted: {', '.join(parts)} (± {band:.0%})"


def show_table(sweep: Sweep, rows: Sequence[dict[str, Any]], file: Path, quiet: bool) -> None:
    """Print the runs of a sweep, best first, and where the whole table is."""
    console = make_console()
    console.print()
    on_gpu = any(row["predicted_gpu_hours"] for row in rows)
    cost = "GPU-hours" if on_gpu else "training"
    table = Table(
        title=f"{sweep.folder.name}: {sweep.metric}, {sweep.direction} is better",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("rank", "run"):
        table.add_column(name, justify="right")
    for key in sweep.keys:
        table.add_column(key, overflow="fold")
    table.add_column(sweep.metric, justify="right")
    table.add_column(cost, justify="right")
    priced = any(row["cost_usd"] is not None for row in rows)
    if priced:
        table.add_column("cost", justify="right")
    table.add_column("status")
    for row in rows[:MOST_ROWS]:
        value, measured = row["value"], row["device_hours"] if on_gpu else row["training_s"]
        cells = ["" if row["rank"] is None else str(row["rank"]), str(row["number"])]
        cells += [row["differs"].get(key, "") for key in sweep.keys]
        cells.append("" if value is None else f"{value:.4f}")
        cells.append("" if measured is None else figure(measured) if on_gpu else duration(measured))
        if priced:
            cells.append("" if row["cost_usd"] is None else money(row["cost_usd"]))
        cells.append(row["status"] if row["step"] is None else f"{row['status']} at step {row['step']}")
        table.add_row(*cells)
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"and {len(rows) - MOST_ROWS:,} more in the table", markup=False)
    console.print(f"\ntable: {file}", markup=False, soft_wrap=True)
    best = rows[0] if rows and rows[0]["rank"] == 1 else None
    if best is not None and not quiet:
        console.print(f"best run: {sweep.output_dir / 'runs' / best['run']}", markup=False, soft_wrap=True)
