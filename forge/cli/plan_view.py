"""A plan as one screen of tables."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from forge.cli.compiling import Compiled
from forge.plan.hardware import GIB
from forge.run.display import duration


def show_plan(compiled: Compiled, output: Path) -> None:
    """Print a plan and where it was written."""
    console = Console(highlight=False)
    for note in compiled.notes:
        print(f"note: {note}", file=sys.stderr)
    plan = compiled.plan
    console.print(f"[bold]{plan.name}[/bold]  plan {plan.id}\n")
    console.print(_facts(compiled))
    console.print()
    console.print(_memory(compiled))
    console.print()
    console.print(f"stages: {' → '.join(stage.name for stage in plan.stages)}", markup=False)
    console.print(f"written to {output}", markup=False, soft_wrap=True)


def _facts(compiled: Compiled) -> Table:
    plan = compiled.plan
    model, layout, schedule, estimates = plan.model, plan.layout, plan.schedule, plan.estimates
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    active = "" if not model.experts else f", {model.active_parameters / 1e9:.2f}B a token"
    table.add_row(
        "model",
        f"{model.family}, {model.layers} layers × {model.hidden_size}, vocabulary {model.vocab_size:,}: "
        f"{_count(model.parameters)} parameters{active}",
    )
    device = layout.gpu or f"CPU process, {layout.threads_per_process} threads"
    table.add_row("hardware", f"{layout.hardware}: {layout.nodes} × {layout.processes_per_node} × {device}")
    table.add_row(
        "layout",
        f"ZeRO-{layout.zero_stage}, {layout.precision}, micro-batch {layout.micro_batch_sequences} × accumulation "
        f"{layout.gradient_accumulation_steps} × {layout.world_size} devices, activation checkpointing "
        f"{layout.activation_checkpointing}, optimizer offload {layout.offload_optimizer}",
    )
    table.add_row(
        "training",
        f"{schedule.steps:,} steps of {schedule.global_batch_tokens:,} tokens "
        f"({schedule.global_batch_sequences:,} × {schedule.sequence_length:,}): {_count(schedule.tokens)} tokens",
    )
    table.add_row("data", _data(compiled))
    cost = "" if estimates.cost_usd is None else f", ${estimates.cost_usd:,.0f}"
    hours = f"; {estimates.gpu_hours:,.0f} GPU-hours{cost}" if layout.device == "cuda" else ""
    table.add_row(
        "time",
        f"{duration(estimates.training_time_s)}: {estimates.step_time_s:.3g} s a step, "
        f"{estimates.tokens_per_second:,.0f} tokens/s, {estimates.model_flops_utilization:.0%} MFU{hours}",
    )
    return table


def _data(compiled: Compiled) -> str:
    sources, tokens = compiled.plan.sources, compiled.plan.estimates.corpus_tokens
    if sources:
        files = sum(source.files for source in sources)
        return f"{files:,} files, about {_count(tokens)} tokens"
    return f"not at hand; {_count(tokens)} tokens assumed" if tokens else "not at hand"


def _memory(compiled: Compiled) -> Table:
    plan, hardware = compiled.plan, compiled.hardware
    estimates = plan.estimates
    table = Table(box=None, pad_edge=False)
    table.add_column("memory a " + ("GPU" if plan.layout.device == "cuda" else "process"))
    table.add_column("GiB", justify="right")
    for item in estimates.memory:
        table.add_row(item.name, f"{item.bytes / GIB:.2f}")
    table.add_row("[bold]peak[/bold]", f"[bold]{estimates.peak_memory_bytes / GIB:.2f}[/bold]")
    table.add_row("may be used", f"{estimates.available_memory_bytes / GIB:.2f}")
    table.add_row("there is", f"{hardware.device_memory_bytes / GIB:.2f}")
    return table


def _count(value: float) -> str:
    """Return 6,738,415,616 as 6.74B."""
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"
