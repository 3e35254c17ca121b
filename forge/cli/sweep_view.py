"""What a sweep shows: what it is predicted to cost, and its runs by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from forge.cli.console import UNBOUNDED, make_console
from forge.plan.types import Estimates
from forge.report.run_page import REPORT
from forge.run.quantities import count, counted, duration, figure, money
from forge.run.sweep.point import Point
from forge.run.sweep.record import Sweep

MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Cost:
    """What runs are predicted to take together."""

    training_s: float
    gpu_hours: float
    usd: float | None
    """None where a price is not known."""
    error_fraction: float
    """Half-width of the band around each."""


def total_cost(estimates: Sequence[Estimates]) -> Cost:
    """Return what runs take one after the other, in time and in money."""
    prices = [each.cost_usd for each in estimates]
    return Cost(
        sum(each.wall_clock_s for each in estimates),
        sum(each.gpu_hours for each in estimates),
        None if None in prices else sum(price or 0.0 for price in prices),
        max((each.time_error_fraction for each in estimates), default=0.0),
    )


def cost_line(sweep: Sweep, cost: Cost, runs: int, done: int) -> str:
    """Return what a sweep is, and what it is predicted to cost.

    Args:
        sweep: what it is.
        cost: of all its runs.
        runs: how many it has.
        done: of them, before.
    """
    line = f"sweep {sweep.folder.name}: {counted(runs, 'run')}" + (f", {done:,} done before" if done else "")
    most = "at most " if sweep.method == "optuna" else ""
    return f"{line}; predicted: {most}{cost_words(cost)}"


def cost_words(cost: Cost) -> str:
    """Return what runs are predicted to cost together."""
    parts = [f"{duration(cost.training_s)} of training in all"]
    if cost.gpu_hours:
        parts.append(f"{figure(cost.gpu_hours)} GPU-hours")
        parts.append("price unknown" if cost.usd is None else money(cost.usd))
    return f"{', '.join(parts)} (± {cost.error_fraction:.0%})"


def show_planned(keys: Sequence[str], points: Sequence[Point], cost: Cost) -> None:
    """Print the runs of a sweep that is not carried out: what differs, the plan, what it is predicted to take."""
    console = make_console()
    table = Table(box=None, pad_edge=False)
    table.add_column("run", justify="right")
    for name in _short(keys):
        table.add_column(name, overflow="fold")
    table.add_column("plan", no_wrap=True)
    for name in ("parameters", "tokens", "time", *(["GPU-hours", "cost"] if cost.gpu_hours else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        estimates = point.plan.estimates
        cells = [str(point.number), *(point.differs[key] for key in keys), point.plan.id]
        cells += [count(point.plan.model.parameters), count(point.plan.schedule.tokens)]
        cells.append(duration(estimates.wall_clock_s))
        if cost.gpu_hours:
            cells.append(figure(estimates.gpu_hours))
            cells.append("unknown" if estimates.cost_usd is None else money(estimates.cost_usd))
        table.add_row(*map(Text, cells))
    if not console.is_terminal:
        console.width = UNBOUNDED
    console.print(table)
    console.print(f"\n{counted(len(points), 'run')}: {cost_words(cost)}", markup=False, soft_wrap=True)


def show_table(sweep: Sweep, rows: Sequence[dict[str, Any]], file: Path, quiet: bool) -> None:
    """Print the runs of a sweep, best first, and where the whole table is."""
    console = make_console()
    console.print()
    on_gpu = any(row["predicted_gpu_hours"] for row in rows)
    cost = "GPU-hours" if on_gpu else "training"
    console.print(
        f"{sweep.folder.name}: {sweep.metric}, {sweep.direction} is better", markup=False, soft_wrap=True
    )
    table = Table(box=None, pad_edge=False)
    for name in ("rank", "run"):
        table.add_column(name, justify="right")
    for name in _short(sweep.keys):
        table.add_column(name, overflow="fold")
    table.add_column("value", justify="right", no_wrap=True)
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
    console.print(f"report: {sweep.folder / REPORT}", markup=False, soft_wrap=True)
    best = rows[0] if rows and rows[0]["rank"] == 1 else None
    if best is not None and not quiet:
        console.print(f"best run: {sweep.output_dir / 'runs' / best['run']}", markup=False, soft_wrap=True)


def _short(keys: Sequence[str]) -> list[str]:
    """Return the last parts of keys, where they tell them apart: a terminal is narrow."""
    lasts = [key.rpartition(".")[2] for key in keys]
    return lasts if len(set(lasts)) == len(lasts) else list(keys)
