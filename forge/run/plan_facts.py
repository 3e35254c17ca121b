"""A plan in lines of words: what is trained on what, how it is laid out, how long it takes and for how much."""

from __future__ import annotations

from forge.plan.hardware import GIB
from forge.plan.types import AlternativePlan, Estimates, PhasePlan, Plan
from forge.run.quantities import count, counted, duration, figure, money, size


def plan_facts(plan: Plan) -> list[tuple[str, str]]:
    """Return the name and the value of each line; a name is empty where a line goes on with the one before."""
    model, schedule = plan.model, plan.schedule
    lines: list[tuple[str, str]] = []
    active = "" if not model.experts else f", {count(model.active_parameters)} a token"
    lines.append(
        (
            "model",
            f"{model.family}, {model.layers} layers × {model.hidden_size}, vocabulary {model.vocab_size:,}: "
            f"{count(model.parameters)} parameters{active}",
        )
    )
    for pack in plan.packs:
        whose = f"signed by {pack.signer or pack.fingerprint}" if pack.fingerprint else "not signed"
        lines.append(("recipes from", f"{pack.name} {pack.version}, {whose}"))
    for source in plan.initial_weights:
        lines.append(("starts from", f"{source.path} ({size(source.bytes)}, {source.sha256[:12]})"))
    if plan.spec.get("model", {}).get("init_from") and not plan.initial_weights:
        lines.append(("starts from", "a model that is not at hand; its shape is assumed"))
    if schedule.task == "sft":
        lines.append(("task", "sft: the answers in conversations are learnt"))
    if schedule.task == "dpo":
        lines.append(
            ("task", f"dpo: which of two answers is preferred is learnt, beta {schedule.dpo_beta:g}")
        )
    if model.lora_rank:
        dropout = f", dropout {model.lora_dropout:g}" if model.lora_dropout else ""
        lines.append(
            (
                "adapters",
                f"LoRA of rank {model.lora_rank} in {', '.join(model.lora_target_modules)}{dropout}: "
                f"{count(model.trainable_parameters)} parameters learn, the others are frozen",
            )
        )
    lines.append(("hardware", _hardware(plan)))
    lines.append(("layout", _layout(plan)))
    lines.append(
        (
            "training",
            f"{schedule.steps:,} steps of {schedule.global_batch_tokens:,} tokens "
            f"({schedule.global_batch_sequences:,} × {schedule.sequence_length:,}): {count(schedule.tokens)} tokens, "
            f"{figure(plan.estimates.tokens_per_parameter)} a parameter",
        )
    )
    for number, phase in enumerate(schedule.phases, 1):
        lines.append(("phases" if number == 1 else "", _phase(phase)))
    lines.append(("data", _data(plan)))
    lines.append(("time", _time(plan.estimates)))
    if plan.layout.device == "cuda":
        lines.append(("cost", _cost(plan.estimates)))
        lines.append(("risk", _risk(plan)))
    return lines


def times(passes: float) -> str:
    """Return how often a text is read, in words."""
    if 0.95 <= passes < 1.05:
        return "once"
    return f"{figure(round(passes, 1) if passes >= 0.1 else passes)} times"


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
    if layout.expert_parallel_degree > 1:
        parts.append(f"experts over {layout.expert_parallel_degree}")
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


def layouts_to_show(plan: Plan) -> list[tuple[str, AlternativePlan]]:
    """Return the chosen layout, named 'as above', and the best others; of those with the same figures the first."""
    estimates = plan.estimates
    chosen = AlternativePlan(
        layout="as above",
        nodes=plan.layout.nodes,
        peak_memory_bytes=estimates.peak_memory_bytes,
        step_time_s=estimates.step_time_s,
        wall_clock_s=estimates.wall_clock_s,
        cost_usd=estimates.cost_usd,
    )
    shown: dict[tuple[str, ...], tuple[str, AlternativePlan]] = {}
    for other in (chosen, *plan.search.alternatives):
        figures = (
            f"{other.peak_memory_bytes / GIB:.1f}",
            figure(other.step_time_s),
            duration(other.wall_clock_s),
            "" if other.cost_usd is None else money(other.cost_usd),
        )
        shown.setdefault(figures, (other.layout, other))  # on one GPU some ZeRO stages are the same thing
    return list(shown.values())
