"""Compile a spec into a plan. A pure function: the same spec, machine, data and code make the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from forge import __version__
from forge.plan.hardware import Hardware, resolve_hardware
from forge.plan.lowering import deepspeed_config
from forge.plan.machine import Machine
from forge.plan.memory import checkpoint_bytes
from forge.plan.model import model_flops_per_token, plan_model
from forge.plan.schedule import plan_schedule
from forge.plan.search import Candidate, choose_layout, usable_memory_bytes
from forge.plan.stages import plan_stages
from forge.plan.types import (
    PLAN_FORMAT,
    Estimates,
    LayoutPlan,
    ModelPlan,
    Plan,
    SchedulePlan,
    SourcePlan,
    plan_id,
)

BYTES_PER_TOKEN = 4.0
"""Of English prose under a byte-level BPE of a few thousand entries and more: 3.7 to 4.5 on legal text."""


def compile_plan(
    spec: dict[str, Any], hardware_name: str, machine: Machine, sources: tuple[SourcePlan, ...]
) -> Plan:
    """Compile a valid spec.

    Args:
        spec: the composed values, as `compose_spec` returns them.
        hardware_name: the hardware option chosen.
        machine: this machine; it matters only where the hardware is `local`.
        sources: the data as it lies there now; empty where it is not at hand.

    Raises:
        SpecError: values contradict the hardware.
        FitError: no layout fits.
    """
    hardware = resolve_hardware(spec["hardware"], hardware_name, machine)
    train = spec["train"]
    model = plan_model(spec["model"], spec["tokenizer"]["vocab_size"], train["sequence_length"])
    schedule = plan_schedule(train)
    chosen = choose_layout(model, hardware, spec["engine"], train)
    layout = _layout_plan(chosen, hardware)
    deepspeed = deepspeed_config(chosen.layout, hardware, train["gradient_clip"], model.hidden_size)
    # Where the output is written does not change what it is.
    content = {key: value for key, value in spec.items() if key != "output_dir"}
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
        stages=plan_stages(content, sources, model, layout, schedule, deepspeed),
        estimates=_estimates(spec, chosen, hardware, model, schedule, sources),
        spec=content,
    )
    return replace(plan, id=plan_id(plan))


def _layout_plan(chosen: Candidate, hardware: Hardware) -> LayoutPlan:
    layout = chosen.layout
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
    )


def _estimates(
    spec: dict[str, Any],
    chosen: Candidate,
    hardware: Hardware,
    model: ModelPlan,
    schedule: SchedulePlan,
    sources: tuple[SourcePlan, ...],
) -> Estimates:
    tokens_per_second = schedule.global_batch_tokens / chosen.step_time_s
    flops_per_second = tokens_per_second * model_flops_per_token(model, schedule.sequence_length)
    training_time_s = schedule.steps * chosen.step_time_s
    gpu_hours = hardware.world_size * training_time_s / 3600 if hardware.device == "cuda" else 0.0
    price = hardware.usd_per_gpu_hour
    known_tokens = int(sum(source.bytes for source in sources) / BYTES_PER_TOKEN)
    return Estimates(
        memory=chosen.memory,
        peak_memory_bytes=chosen.peak_memory_bytes,
        available_memory_bytes=usable_memory_bytes(hardware, spec["engine"]),
        step_time_s=chosen.step_time_s,
        tokens_per_second=tokens_per_second,
        model_flops_utilization=flops_per_second / (hardware.peak_flops * hardware.world_size),
        training_time_s=training_time_s,
        gpu_hours=gpu_hours,
        cost_usd=None if price is None else gpu_hours * price,
        checkpoint_bytes=checkpoint_bytes(model, chosen.layout.precision),
        corpus_tokens=known_tokens or spec["data"]["assumed_tokens"] or 0,
    )
