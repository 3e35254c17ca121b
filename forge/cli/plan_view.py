"""A plan as one screen: what is trained where, how long and for how much, the memory, and the layouts not chosen."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Table

from forge.cli.compiling import Compiled
from forge.cli.console import make_console
from forge.plan.hardware import GIB
from forge.plan.types import AlternativePlan, Estimates, MemoryItem, Plan
from forge.run.quantities import duration

BAR_CELLS = 30


def show_plan(compiled: Compiled, output: Path) -> None:
    """Print a plan and where it was written."""
    console = make_console()
    plan = compiled.plan
    for note in (*compiled.notes, *plan.estimates.warnings):
        print(f"note: {note}", file=sys.stderr)
    console.print(f"[bold]{plan.name}[/bold]  plan {plan.id}\n")
    console.print(_facts(compiled))
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
    console.print(f"written to {output}", markup=False, soft_wrap=True)


def count(value: float) -> str:
    """Return 6,738,415,616 as 6.74B."""
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"


def _facts(compiled: Compiled) -> Table:
    plan = compiled.plan
    model, schedule = plan.model, plan.schedule
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    active = "" if not model.experts else f", {count(model.active_parameters)} a token"
    table.add_row(
        "model",
        f"{model.family}, {model.layers} layers × {model.hidden_size}, vocabulary {model.vocab_size:,}: "
        f"{count(model.parameters)} parameters{active}",
    )
    table.add_row("hardware", _hardware(plan))
    table.add_row("layout", _layout(plan))
    table.add_row(
        "training",
        f"{schedule.steps:,} steps of {schedule.global_batch_tokens:,} tokens "
        f"({schedule.global_batch_sequences:,} × {schedule.sequence_length:,}): {count(schedule.tokens)} tokens, "
        f"{plan.estimates.tokens_per_parameter:.0f} a parameter",
    )
    table.add_row("data", _data(plan))
    table.add_row("time", _time(plan.estimates))
    if plan.layout.device == "cuda":
        table.add_row("cost", _cost(plan.estimates))
        table.add_row("risk", _risk(plan))
    return table


def _hardware(plan: Plan) -> str:
    layout = plan.layout
    if layout.device == "cpu":
        processes = "one process" if layout.world_size == 1 else f"{layout.world_size} processes"
        return f"{layout.hardware}: {processes} on the CPU, {layout.threads_per_process} threads each"
    machines = "one machine" if layout.nodes == 1 else f"{layout.nodes} machines"
    return f"{layout.hardware}: {machines} with {layout.processes_per_node} × {layout.gpu}"


def _layout(plan: Plan) -> str:
    layout = plan.layout
    parts = [
        f"ZeRO-{layout.zero_stage}",
        layout.precision,
        f"micro-batch {layout.micro_batch_sequences} × accumulation {layout.gradient_accumulation_steps} "
        f"× {layout.world_size // layout.sequence_parallel_degree}",
    ]
    if layout.activation_checkpointing != "none":
        parts.append(f"{layout.activation_checkpointing} activation checkpointing")
    if layout.loss_chunks > 1:
        parts.append(f"loss in {layout.loss_chunks} chunks")
    if layout.offload_optimizer != "none":
        parts.append(f"optimizer on {layout.offload_optimizer}")
    if layout.offload_parameters != "none":
        parts.append(f"parameters on {layout.offload_parameters}")
    if layout.hpz_partition_size > 1:
        parts.append(f"hpZ over {layout.hpz_partition_size}")
    if layout.sequence_parallel_degree > 1:
        parts.append(f"sequences over {layout.sequence_parallel_degree}")
    return ", ".join(parts)


def _data(plan: Plan) -> str:
    estimates = plan.estimates
    tokens = count(estimates.corpus_tokens)
    passes = "" if estimates.corpus_passes is None else f", read {estimates.corpus_passes:.1f} times"
    if plan.sources:
        files = sum(source.files for source in plan.sources)
        return f"{files:,} files, about {tokens} tokens{passes}"
    return f"not at hand; {tokens} tokens assumed{passes}" if estimates.corpus_tokens else "not at hand"


def _time(estimates: Estimates) -> str:
    return (
        f"{duration(estimates.wall_clock_s)} ± {estimates.time_error_fraction:.0%}: "
        f"{estimates.step_time_s:.3g} s a step, {estimates.tokens_per_second:,.0f} tokens/s, "
        f"{estimates.model_flops_utilization:.0%} MFU"
    )


def _cost(estimates: Estimates) -> str:
    band = f" ± {estimates.time_error_fraction:.0%}"
    money = "price unknown" if estimates.cost_usd is None else f"${estimates.cost_usd:,.0f}{band}"
    energy = "" if estimates.energy_kwh is None else f", {estimates.energy_kwh:,.0f} kWh"
    return f"{money}: {estimates.gpu_hours:,.0f} GPU-hours{energy}"


def _risk(plan: Plan) -> str:
    estimates = plan.estimates
    parts = [f"{estimates.expected_failures:.1f} faults expected"]
    if estimates.best_checkpoint_interval_s is not None:
        own_s = plan.schedule.checkpoint_every_steps * estimates.step_time_s
        parts.append(
            f"checkpoint every {duration(own_s)} (best: {duration(estimates.best_checkpoint_interval_s)}, "
            f"{estimates.checkpoint_bytes / 1e9:.3g} GB each)"
        )
    parts.append(f"goodput {estimates.goodput_fraction:.1%}")
    return ", ".join(parts)


def _memory(compiled: Compiled) -> Table:
    plan, hardware = compiled.plan, compiled.hardware
    estimates = plan.estimates
    table = Table(box=None, pad_edge=False)
    table.add_column("memory a " + ("GPU" if plan.layout.device == "cuda" else "process"), no_wrap=True)
    table.add_column("GiB", justify="right")
    table.add_column("")
    scale = BAR_CELLS / max(hardware.device_memory_bytes, estimates.peak_memory_bytes)
    before = 0.0
    for item in estimates.memory:
        start, end = round(before * scale), round((before + item.bytes) * scale)
        table.add_row(item.name, f"{item.bytes / GIB:.2f}", " " * start + "█" * max(end - start, 0))
        before += item.bytes
    total = round(before * scale)
    room = round(hardware.device_memory_bytes * scale) - total
    table.add_row(
        "[bold]peak[/bold]",
        f"[bold]{estimates.peak_memory_bytes / GIB:.2f}[/bold]",
        f"[bold]{'█' * total}[/bold]{'░' * max(room, 0)}",
    )
    free = f"of {hardware.device_memory_bytes / GIB:.1f}"
    table.add_row(
        "[dim]may be used[/dim]", f"{estimates.available_memory_bytes / GIB:.2f}", f"[dim]{free}[/dim]"
    )
    return table


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
    parts = [f"{item.name} {item.bytes / GIB:,.1f}" for item in items if item.bytes >= total / 100]
    return f"{total / GIB:,.1f} GiB ({', '.join(parts)})"


def _alternatives(plan: Plan) -> Table:
    estimates = plan.estimates
    table = Table(box=None, pad_edge=False)
    table.add_column(f"the best of {plan.search.candidates:,} layouts")
    for name in ("GiB", "s a step", "time", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    chosen = AlternativePlan(
        layout="as above",
        nodes=plan.layout.nodes,
        peak_memory_bytes=estimates.peak_memory_bytes,
        step_time_s=estimates.step_time_s,
        training_time_s=estimates.training_time_s,
        cost_usd=estimates.cost_usd,
    )
    for other in (chosen, *plan.search.alternatives):
        table.add_row(
            other.layout,
            f"{other.peak_memory_bytes / GIB:.1f}",
            f"{other.step_time_s:.3g}",
            duration(other.training_time_s),
            "" if other.cost_usd is None else f"${other.cost_usd:,.0f}",
        )
    return table
