"""Compile a spec into a plan. A pure function: the same spec, machine, data and code make the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from forge import __version__
from forge.errors import FitError
from forge.plan.budget import budget_steps
from forge.plan.checkpoint_time import checkpoint_stall_s
from forge.plan.disk import disk_items
from forge.plan.engine_limits import not_carried_out
from forge.plan.hardware import Hardware, resolve_hardware
from forge.plan.host_memory import host_memory_items
from forge.plan.lora import adapted
from forge.plan.lowering import deepspeed_config
from forge.plan.machine import Machine
from forge.plan.model import model_flops_per_token, plan_model
from forge.plan.outlook import (
    MEMORY_ERROR_FRACTION,
    OPTIMAL_TOKENS_PER_PARAMETER,
    TIME_ERROR_FRACTION,
    Risk,
    best_checkpoint_interval_s,
    disk_warnings,
    precision_warnings,
    risk,
    token_warnings,
)
from forge.plan.phases import stream_tokens
from forge.plan.pretrained import InitialWeights
from forge.plan.remedies import smallest_changes
from forge.plan.schedule import checkpoints_kept, evaluation_time_s, plan_schedule, reference_time_s
from forge.plan.search import Candidate, choose_layout, usable_memory_bytes, why_nothing_fits
from forge.plan.stages import plan_stages
from forge.plan.states import checkpoint_bytes
from forge.plan.task import check_task
from forge.plan.types import (
    PLAN_FORMAT,
    AlternativePlan,
    Estimates,
    LayoutPlan,
    MemoryItem,
    ModelPlan,
    Plan,
    SchedulePlan,
    SearchPlan,
    SourcePlan,
    plan_id,
)

BYTES_PER_TOKEN = 4.0
"""Of English prose under a byte-level BPE of a few thousand entries and more: 3.7 to 4.5 on legal text."""

WHERE = ("output_dir", "hostfile", "remote_shell")
"""Keys of a spec about where its plan is carried out, which do not change what it is."""

AROUND = (*WHERE, "launch", "track", "sweep")
"""Keys and groups of a spec that do not change what its plan is: also who is told, and which other runs there are."""

ENDLESS_BYTES = 2**62


def compile_plan(
    spec: dict[str, Any],
    hardware_name: str,
    machine: Machine,
    sources: tuple[SourcePlan, ...],
    initial: InitialWeights | None = None,
    rival_sha256: str | None = None,
) -> Plan:
    """Compile a valid spec.

    Args:
        spec: the composed values, as `compose_spec` returns them.
        hardware_name: the hardware option chosen.
        machine: this machine; it matters only where the hardware is `local`.
        sources: the data as it lies there now; empty where it is not at hand.
        initial: the model to start from, of which the spec has the shape; None starts from random weights.
        rival_sha256: of the model in `evaluate.rival_folder`; None where there is none, or it is not at hand.

    Raises:
        SpecError: values contradict the hardware or each other, or forge's engine cannot run them.
        FitError: no layout fits; the lines after the first say what would.
    """
    try:
        return _compile(spec, hardware_name, machine, sources, initial, rival_sha256)
    except FitError:
        pass
    raise FitError(*_misfit(spec, hardware_name, machine, sources, initial))


def _misfit(
    spec: dict[str, Any],
    hardware_name: str,
    machine: Machine,
    sources: tuple[SourcePlan, ...],
    initial: InitialWeights | None,
) -> list[str]:
    """Return why a spec does not fit, and then what would: each change has been compiled."""
    train, engine = spec["train"], spec["engine"]
    model = _model(spec, initial)
    hardware = resolve_hardware(spec["hardware"], hardware_name, machine)
    endless = replace(hardware, device_memory_bytes=ENDLESS_BYTES, host_memory_bytes=ENDLESS_BYTES)
    fastest = choose_layout(model, endless, engine, train).winner
    changes = smallest_changes(
        spec,
        hardware_name,
        train["global_batch_tokens"] / fastest.step_time_s,
        lambda changed, name: _compile(changed, name, machine, sources, initial),
    )
    return [
        why_nothing_fits(model, hardware, engine, train),
        *(f"hardware={hardware_name}: {change}" for change in changes),
    ]


def _compile(
    spec: dict[str, Any],
    hardware_name: str,
    machine: Machine,
    sources: tuple[SourcePlan, ...],
    initial: InitialWeights | None,
    rival_sha256: str | None = None,
) -> Plan:
    check_task(spec)
    train, engine = spec["train"], spec["engine"]
    model = _model(spec, initial)
    choice = choose_layout(model, resolve_hardware(spec["hardware"], hardware_name, machine), engine, train)
    hardware = choice.winner.hardware
    step_time_s = choice.winner.step_time_s
    corpus_tokens = _corpus_tokens(spec, sources)
    training_tokens = round(corpus_tokens * (1 - spec["data"]["held_out_fraction"]))
    schedule = _schedule(model, hardware, train, step_time_s, corpus_tokens, training_tokens, sources)
    layout = _layout_plan(choice.winner)
    deepspeed = deepspeed_config(
        choice.winner.layout, hardware, schedule.gradient_clip, model, engine["deepspeed"]
    )
    content = {key: value for key, value in spec.items() if key not in AROUND}
    weights = (initial.source,) if initial else ()
    plan = Plan(
        id="",
        format=PLAN_FORMAT,
        name=spec["name"],
        seed=spec["seed"],
        forge_version=__version__,
        sources=sources,
        model=model,
        layout=layout,
        schedule=schedule,
        deepspeed=deepspeed,
        stages=plan_stages(content, sources, weights, model, layout, schedule, deepspeed, rival_sha256),
        estimates=_estimates(
            choice.winner,
            usable_memory_bytes(hardware, engine),
            model,
            schedule,
            corpus_tokens,
            training_tokens,
            spec["model"]["init_from"] is None,
            disk_items(
                model,
                choice.winner.layout,
                sum(source.bytes for source in sources) or round(corpus_tokens * BYTES_PER_TOKEN),
                max(corpus_tokens, stream_tokens(schedule.phases, sources, corpus_tokens)),
                checkpoints_kept(schedule),
                spec["export"]["formats"],
                spec["export"]["gguf_types"],
            ),
        ),
        search=SearchPlan(
            objective=train["objective"],
            candidates=choice.candidates,
            alternatives=tuple(
                _alternative(each, model, schedule, corpus_tokens) for each in choice.alternatives
            ),
            rejected=tuple(_alternative(each, model, schedule, corpus_tokens) for each in choice.rejected),
        ),
        spec=content,
        initial_weights=weights,
    )
    return replace(plan, id=plan_id(plan))


def _model(spec: dict[str, Any], initial: InitialWeights | None) -> ModelPlan:
    """Return the network; one that is trained further may have more rows than its tokenizer has entries."""
    vocab_size = initial.vocab_size if initial else spec["tokenizer"]["vocab_size"]
    model = plan_model(spec["model"], vocab_size, spec["train"]["sequence_length"])
    return adapted(model, spec["train"], spec["model"]["init_from"] is not None)


def _schedule(
    model: ModelPlan,
    hardware: Hardware,
    train: dict[str, Any],
    step_time_s: float,
    corpus_tokens: int,
    training_tokens: int,
    sources: tuple[SourcePlan, ...],
) -> SchedulePlan:
    """Return the schedule that the budget pays for.

    How much of a budget of hours is progress depends on how often a checkpoint is written, which may depend on the
    number of steps: that number is worked out once without, and once with what the first found.
    """
    stall_s, best_s = checkpoint_stall_s(model, hardware), best_checkpoint_interval_s(model, hardware)
    goodput = 1.0
    for _ in range(2):
        steps = budget_steps(train, hardware, step_time_s, goodput, training_tokens)
        schedule = plan_schedule(train, steps, step_time_s, stall_s, best_s, sources)
        interval_s = schedule.checkpoint_every_steps * step_time_s
        training_time_s = steps * step_time_s
        goodput = risk(model, hardware, training_time_s, interval_s).goodput_fraction
        goodput *= training_time_s / (
            training_time_s
            + evaluation_time_s(schedule, step_time_s)
            + reference_time_s(schedule, step_time_s, corpus_tokens)
        )
    return schedule


def _corpus_tokens(spec: dict[str, Any], sources: tuple[SourcePlan, ...]) -> int:
    known = int(sum(source.bytes for source in sources) / BYTES_PER_TOKEN)
    return known or spec["data"]["assumed_tokens"] or 0


def _alternative(
    candidate: Candidate, model: ModelPlan, schedule: SchedulePlan, corpus_tokens: int
) -> AlternativePlan:
    hardware = candidate.hardware
    wall_clock_s = _wall_clock(candidate, model, schedule, corpus_tokens)[0]
    hours = hardware.world_size * wall_clock_s / 3600
    price = hardware.usd_per_gpu_hour
    return AlternativePlan(
        layout=str(candidate.layout),
        nodes=hardware.nodes,
        peak_memory_bytes=candidate.peak_memory_bytes,
        step_time_s=candidate.step_time_s,
        wall_clock_s=wall_clock_s,
        cost_usd=None if price is None or hardware.device == "cpu" else hours * price,
    )


def _wall_clock(
    candidate: Candidate, model: ModelPlan, schedule: SchedulePlan, corpus_tokens: int
) -> tuple[float, Risk]:
    """Return seconds from the first step to the last, with evaluations, checkpoints and faults, and what those are.

    The pass over preferences before the first step counts as well.
    """
    training_time_s = schedule.steps * candidate.step_time_s
    interval_s = schedule.checkpoint_every_steps * candidate.step_time_s
    faults = risk(model, candidate.hardware, training_time_s, interval_s)
    busy_s = (
        training_time_s
        + evaluation_time_s(schedule, candidate.step_time_s)
        + reference_time_s(schedule, candidate.step_time_s, corpus_tokens)
    )
    return busy_s / faults.goodput_fraction, faults


def _layout_plan(chosen: Candidate) -> LayoutPlan:
    layout, hardware = chosen.layout, chosen.hardware
    return LayoutPlan(
        hardware=hardware.name,
        device=hardware.device,
        gpu=hardware.gpu,
        nodes=hardware.nodes,
        processes_per_node=hardware.devices_per_node,
        world_size=hardware.world_size,
        threads_per_process=hardware.threads_per_process,
        precision=layout.precision,
        zero_stage=layout.zero_stage,
        offload_optimizer=layout.offload_optimizer,
        offload_parameters=layout.offload_parameters,
        activation_checkpointing=layout.activation_checkpointing,
        micro_batch_sequences=layout.micro_batch_sequences,
        gradient_accumulation_steps=layout.gradient_accumulation_steps,
        hpz_partition_size=layout.hpz_partition_size,
        sequence_parallel_degree=layout.sequence_parallel_degree,
        bucket_bytes=layout.bucket_bytes,
        attention=layout.attention,
        loss_chunks=layout.loss_chunks,
        optimizer_states=layout.optimizer_states,
        compile_layers=layout.compile_layers,
        expert_parallel_degree=layout.expert_parallel_degree,
    )


def _estimates(
    chosen: Candidate,
    available_memory_bytes: int,
    model: ModelPlan,
    schedule: SchedulePlan,
    corpus_tokens: int,
    training_tokens: int,
    from_random: bool,
    disk: tuple[MemoryItem, ...],
) -> Estimates:
    hardware = chosen.hardware
    on_gpu = hardware.device == "cuda"
    tokens_per_second = schedule.global_batch_tokens / chosen.step_time_s
    flops_per_second = tokens_per_second * model_flops_per_token(model, schedule.sequence_length)
    peak_flops = hardware.peak_flops * hardware.world_size
    wall_clock_s, faults = _wall_clock(chosen, model, schedule, corpus_tokens)
    gpu_hours = hardware.world_size * wall_clock_s / 3600 if on_gpu else 0.0
    price, power = hardware.usd_per_gpu_hour, hardware.power_watts
    return Estimates(
        memory=chosen.memory,
        peak_memory_bytes=chosen.peak_memory_bytes,
        available_memory_bytes=available_memory_bytes,
        memory_error_fraction=MEMORY_ERROR_FRACTION[hardware.device],
        host_memory=host_memory_items(
            model, chosen.layout, hardware, schedule.sequence_length, training_tokens
        ),
        host_memory_available_bytes=hardware.host_memory_bytes,
        disk=disk,
        disk_available_bytes=hardware.disk_bytes,
        step_time_s=chosen.step_time_s,
        tokens_per_second=tokens_per_second,
        # Of a CPU no datasheet says a peak, and its measured rate is that of such a step.
        model_flops_utilization=flops_per_second / peak_flops if on_gpu else None,
        training_time_s=schedule.steps * chosen.step_time_s,
        time_error_fraction=TIME_ERROR_FRACTION[hardware.device],
        goodput_fraction=faults.goodput_fraction,
        wall_clock_s=wall_clock_s,
        gpu_hours=gpu_hours,
        cost_usd=gpu_hours * price if on_gpu and price is not None else None,
        energy_kwh=gpu_hours * power / 1000 if on_gpu and power is not None else None,
        expected_failures=faults.expected_failures,
        best_checkpoint_interval_s=faults.best_checkpoint_interval_s,
        checkpoint_stall_s=faults.checkpoint_stall_s,
        checkpoint_bytes=checkpoint_bytes(model, chosen.layout.optimizer),
        corpus_tokens=corpus_tokens,
        corpus_passes=schedule.tokens / training_tokens if training_tokens else None,
        tokens_per_parameter=schedule.tokens / model.active_parameters,
        compute_optimal_tokens=round(OPTIMAL_TOKENS_PER_PARAMETER * model.active_parameters),
        warnings=(
            *token_warnings(model, schedule.tokens, training_tokens, from_random),
            *not_carried_out(_layout_plan(chosen)),
            *precision_warnings(hardware, chosen.layout.precision, chosen.layout.optimizer_states),
            *disk_warnings(sum(item.bytes for item in disk), hardware.disk_bytes),
        ),
        reference_time_s=reference_time_s(schedule, chosen.step_time_s, corpus_tokens),
    )
