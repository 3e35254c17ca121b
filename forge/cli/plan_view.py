"""A plan as one screen: what is trained where, how long and for how much, the memory, and the layouts not chosen."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forge.cli.compiling import Compiled
from forge.cli.console import make_console
from forge.plan.hardware import GIB
from forge.plan.types import MemoryItem, Plan
from forge.run.plan_facts import layouts_to_show, plan_facts
from forge.run.quantities import duration, figure, money

BAR_CELLS = 30
MIB = 1024**2


def show_plan(compiled: Compiled, output: Path) -> None:
    """Print a plan and where it was written."""
    for note in (*compiled.notes, *compiled.plan.estimates.warnings):
        print(f"note: {note}", file=sys.stderr)
    console = make_console()
    plan_screen(compiled, console)
    console.print(f"written to {output}", markup=False, soft_wrap=True)


def plan_screen(compiled: Compiled, console: Console) -> None:
    """Print a plan."""
    plan = compiled.plan
    console.print(f"[bold]{plan.name}[/bold]  plan {plan.id}\n")
    console.print(_facts(plan))
    console.print()
    console.print(_memory(compiled))
    console.print()
    console.print(_host_and_disk(compiled))
    if plan.layout.device == "cuda" and plan.search.alternatives:
        console.print()
        console.print(_alternatives(plan))
    for rejected in plan.search.rejected:
        console.print(
            f"does not fit: {rejected.layout}: {rejected.peak_memory_bytes / GIB:.1f} GiB of "
            f"{plan.estimates.available_memory_bytes / GIB:.1f}",
            style="dim",
            markup=False,
        )
    console.print(f"\nstages {' → '.join(stage.name for stage in plan.stages)}", markup=False)


def _facts(plan: Plan) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for name, line in plan_facts(plan):
        table.add_row(name, Text(line))
    return table


def _memory(compiled: Compiled) -> Table:
    plan, hardware = compiled.plan, compiled.hardware
    estimates = plan.estimates
    table = Table(box=None, pad_edge=False)
    table.add_column("memory a " + ("GPU" if plan.layout.device == "cuda" else "process"), no_wrap=True)
    unit, unit_bytes = _unit(estimates.peak_memory_bytes)
    table.add_column(unit, justify="right")
    table.add_column("")
    scale = BAR_CELLS / max(hardware.device_memory_bytes, estimates.peak_memory_bytes)
    before = 0.0
    for item in estimates.memory:
        start, end = round(before * scale), round((before + item.bytes) * scale)
        table.add_row(item.name, _amount(item.bytes, unit_bytes), " " * start + "█" * max(end - start, 0))
        before += item.bytes
    total = round(before * scale)
    room = round(hardware.device_memory_bytes * scale) - total
    table.add_row(
        "[bold]peak[/bold]",
        f"[bold]{_amount(estimates.peak_memory_bytes, unit_bytes)}[/bold]",
        f"[bold]{'█' * total}[/bold]{'░' * max(room, 0)}",
    )
    free = f"of {_amount(hardware.device_memory_bytes, unit_bytes)}"
    available = _amount(estimates.available_memory_bytes, unit_bytes)
    table.add_row("[dim]may be used[/dim]", available, f"[dim]{free}[/dim]")
    return table


def _unit(size: float) -> tuple[str, int]:
    """Return the unit in which such a size is easily read, and its bytes."""
    return ("GiB", GIB) if size >= 2 * GIB else ("MiB", MIB)


def _amount(size: float, unit_bytes: int) -> str:
    return f"{size / GIB:.2f}" if unit_bytes == GIB else f"{size / MIB:,.0f}"


def _host_and_disk(compiled: Compiled) -> Table:
    estimates, hardware = compiled.plan.estimates, compiled.hardware
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    host = f"{hardware.host_memory_bytes / GIB:,.0f} GiB" if hardware.host_memory_bytes else "unknown"
    disk = f"{hardware.disk_bytes / GIB:,.0f} GiB" if hardware.disk_bytes else "unknown"
    table.add_row("host memory", f"{_itemised(estimates.host_memory)} of {host}")
    table.add_row("disk", f"{_itemised(estimates.disk)} of {disk}")
    return table


def _itemised(items: tuple[MemoryItem, ...]) -> str:
    total = sum(item.bytes for item in items)
    unit, unit_bytes = _unit(total)
    digits = 1 if unit_bytes == GIB else 0
    parts = [
        f"{item.name} {item.bytes / unit_bytes:,.{digits}f}" for item in items if item.bytes >= total / 100
    ]
    return f"{total / unit_bytes:,.{digits}f} {unit} ({', '.join(parts)})"


def _alternatives(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"the best of {plan.search.candidates:,} layouts")
    for name in ("GiB", "s a step", "time", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for layout, other in layouts_to_show(plan):
        table.add_row(
            layout,
            f"{other.peak_memory_bytes / GIB:.1f}",
            figure(other.step_time_s),
            duration(other.wall_clock_s),
            "" if other.cost_usd is None else money(other.cost_usd),
        )
    return table
