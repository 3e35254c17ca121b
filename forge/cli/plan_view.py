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
from forge.plan.types import AlternativePlan, Estimates, MemoryItem, PhasePlan, Plan
from forge.run.quantities import count, counted, duration, figure, money, size

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


def times(passes: float) -> str:
    """Return how often a text is read, in words."""
    if 0.95 <= passes < 1.05:
        return "once"
    return f"{figure(round(passes, 1) if passes >= 0.1 else passes)} times"


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
    for pack in plan.packs:
        whose = f"signed by {pack.signer or pack.fingerprint}" if pack.fingerprint else "not signed"
        table.add_row("recipes from", f"{pack.name} {pack.version}, {whose}")
    for source in plan.initial_weights:
        table.add_row("starts from", Text(f"{source.path} ({size(source.bytes)}, {source.sha256[:12]})"))
    if plan.spec["model"]["init_from"] and not plan.initial_weights:
        table.add_row("starts from", "a model that is not at hand; its shape is assumed")
    if schedule.task == "sft":
        table.add_row("task", "sft: the answers in conversations are learnt")
    if schedule.task == "dpo":
        table.add_row("task", f"dpo: which of two answers is preferred is learnt, beta {schedule.dpo_beta:g}")
    if model.lora_rank:
        table.add_row(
            "adapters",
            f"LoRA of rank {model.lora_rank} in {', '.join(model.lora_target_modules)}: "
            f"{count(model.trainable_parameters)} parameters learn, the others are frozen",
        )
    table.add_row("hardware", _hardware(plan))
    table.add_row("layout", _layout(plan))
    table.add_row(
        "training",
        f"{schedule.steps:,} steps of {schedule.global_batch_tokens:,} tokens "
        f"({schedule.global_batch_sequences:,} × {schedule.sequence_length:,}): {count(schedule.tokens)} tokens, "
        f"{figure(plan.estimates.tokens_per_parameter)} a parameter",
    )
    for number, phase in enumerate(schedule.phases, 1):
        table.add_row("phases" if number == 1 else "", Text(_phase(phase)))
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
        threads = counted(layout.threads_per_process, "thread")
        each = " each" if layout.world_size > 1 else ""
        return f"{layout.hardware}: {processes} on the CPU, {threads}{each}"
    machines = "one machine" if layout.nodes == 1 else f"{layout.nodes} machines"
    return f"{layout.hardware}: {machines} with {layout.processes_per_node} × {layout.gpu}"


def _layout(plan: Plan) -> str:
    layout = plan.layout
    parts = [
        f"ZeRO-{layout.zero_stage}",
        layout.precision if layout.optimizer_states == "fp32" else f"{layout.precision} with bf16 states",
        f"micro-batch {layout.micro_batch_sequences} × accumulation {layout.gradient_accumulation_steps} "
        f"× {layout.world_size // layout.sequence_parallel_degree}",
    ]
    if layout.activation_checkpointing != "none":
        parts.append(f"{layout.activation_checkpointing} activation checkpointing")
    if layout.compile_layers:
        parts.append("compiled layers")
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
    passes = "" if estimates.corpus_passes is None else f", read {times(estimates.corpus_passes)}"
    if plan.sources:
        files = sum(source.files for source in plan.sources)
        # Filters and duplicates leave less; how much, only reading the documents tells.
        return f"{counted(files, 'file')}, at most {tokens} tokens{passes}"
    return f"not at hand; {tokens} tokens assumed{passes}" if estimates.corpus_tokens else "not at hand"


def _phase(phase: PhasePlan) -> str:
    last = phase.first_step + phase.steps - 1
    weights = [f"{source} × {weight:g}" for source, weight in phase.source_weights.items() if weight]
    return f"steps {phase.first_step:,} to {last:,}: {', '.join(weights) or 'sources not at hand'}"


def _time(estimates: Estimates) -> str:
    utilization = estimates.model_flops_utilization
    mfu = "" if utilization is None else f", {utilization:.0%} MFU"
    reference = ""
    if estimates.reference_time_s:
        reference = f"{duration(estimates.reference_time_s)} to read the reference, "
    return (
        f"{duration(estimates.wall_clock_s)} ± {estimates.time_error_fraction:.0%}: {reference}"
        f"{figure(estimates.step_time_s)} s a step, {estimates.tokens_per_second:,.0f} tokens/s{mfu}"
    )


def _cost(estimates: Estimates) -> str:
    band = f" ± {estimates.time_error_fraction:.0%}"
    price = "price unknown" if estimates.cost_usd is None else f"{money(estimates.cost_usd)}{band}"
    energy = "" if estimates.energy_kwh is None else f", the GPUs' boards {figure(estimates.energy_kwh)} kWh"
    return f"{price}: {figure(estimates.gpu_hours)} GPU-hours{energy}"


def _risk(plan: Plan) -> str:
    estimates = plan.estimates
    every_s = plan.schedule.checkpoint_every_steps * estimates.step_time_s
    best_s = estimates.best_checkpoint_interval_s
    # Rarer or more frequent is only worth a word where it is the user's choice and costs something.
    asked = plan.spec["train"]["checkpoint_every_steps"] is not None
    far = asked and best_s is not None and not 0.5 < every_s / best_s < 2
    best = f", best every {duration(best_s)}" if far and best_s is not None else ""
    faults = f"{estimates.expected_failures:.1f}" if estimates.expected_failures >= 0.05 else "no"
    return (
        f"{faults} faults expected, a checkpoint of {estimates.checkpoint_bytes / GIB:,.1f} GiB "
        f"every {duration(every_s)}{best}, goodput {estimates.goodput_fraction:.1%}"
    )


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
        wall_clock_s=estimates.wall_clock_s,
        cost_usd=estimates.cost_usd,
    )
    shown: list[tuple[str, ...]] = []
    for other in (chosen, *plan.search.alternatives):
        figures = (
            f"{other.peak_memory_bytes / GIB:.1f}",
            figure(other.step_time_s),
            duration(other.wall_clock_s),
            "" if other.cost_usd is None else money(other.cost_usd),
        )
        if figures not in shown:  # on one GPU some ZeRO stages are the same thing
            table.add_row(other.layout, *figures)
        shown.append(figures)
    return table
