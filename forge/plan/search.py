"""Choose the layout: of all that the spec leaves open, the fastest that fits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from forge.errors import FitError, SpecError
from forge.plan.hardware import GIB, Hardware
from forge.plan.layout import Layout
from forge.plan.memory import memory_items
from forge.plan.time import step_time_s
from forge.plan.types import MemoryItem, ModelPlan


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout with what it needs and how long a step takes."""

    layout: Layout
    memory: tuple[MemoryItem, ...]
    peak_memory_bytes: int
    step_time_s: float


def choose_layout(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> Candidate:
    """Return the fastest candidate that fits; of equals, the one that needs least memory.

    Raises:
        SpecError: the global batch cannot be divided over the devices, or the spec pins what contradicts itself.
        FitError: nothing fits; the line names the leanest candidate and what it needs.
    """
    candidates = [
        _evaluate(model, layout, hardware, train["sequence_length"])
        for layout in _layouts(hardware, engine, train)
    ]
    usable = usable_memory_bytes(hardware, engine)
    fitting = [candidate for candidate in candidates if candidate.peak_memory_bytes <= usable]
    if fitting:
        return min(fitting, key=lambda candidate: (candidate.step_time_s, candidate.peak_memory_bytes))
    leanest = min(candidates, key=lambda candidate: candidate.peak_memory_bytes)
    raise FitError(
        f"hardware={hardware.name}: does not fit: the leanest layout ({leanest.layout}) needs "
        f"{leanest.peak_memory_bytes / GIB:.1f} GiB of {usable / GIB:.1f} GiB a device"
    )


def usable_memory_bytes(hardware: Hardware, engine: dict[str, Any]) -> int:
    """Return the memory of a device that a plan may fill: all but the headroom."""
    return int(hardware.device_memory_bytes * (1 - engine["memory_headroom_fraction"]))


def _evaluate(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> Candidate:
    items = memory_items(model, layout, hardware, sequence_length)
    peak = sum(item.bytes for item in items)
    return Candidate(layout, items, peak, step_time_s(model, layout, hardware, sequence_length))


def _layouts(hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]) -> Iterator[Layout]:
    precision = resolve_precision(hardware, train)
    stage = engine["zero_stage"]
    if stage == 0 and precision == "bf16":
        raise SpecError(
            "engine.zero_stage: ZeRO stage 0 in bf16 takes a wrong first step in DeepSpeed 0.19: "
            "use stage 1, or train.precision=fp32"
        )
    # Stage 0 replicates what stage 1 shards and saves nothing for it, so it is never chosen, only obeyed.
    stages: tuple[Literal[0, 1, 2, 3], ...] = (1, 2, 3) if stage == "auto" else (stage,)
    micro_batches = _micro_batches(hardware, engine, train)
    checkpointing = _open(engine["activation_checkpointing"], ("none", "full"))
    offload = _open(engine["offload_optimizer"], ("none", "cpu") if hardware.device == "cuda" else ("none",))
    for choice in itertools.product(stages, micro_batches, checkpointing, offload):
        yield Layout(
            zero_stage=choice[0],
            micro_batch_sequences=choice[1][0],
            gradient_accumulation_steps=choice[1][1],
            activation_checkpointing=choice[2],
            offload_optimizer=choice[3],
            precision=precision,
            bucket_bytes=engine["bucket_bytes"],
        )


def resolve_precision(hardware: Hardware, train: dict[str, Any]) -> Literal["bf16", "fp32"]:
    """Return the precision: what the spec pins, else bf16 where the hardware multiplies it natively."""
    if train["precision"] == "auto":
        return "bf16" if hardware.native_bf16 else "fp32"
    precision: Literal["bf16", "fp32"] = train["precision"]
    return precision


def _open(value: str, choices: tuple[str, ...]) -> tuple[Any, ...]:
    return choices if value == "auto" else (value,)


def _micro_batches(
    hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> list[tuple[int, int]]:
    """Return (micro-batch, accumulation) pairs that make up the global batch exactly."""
    sequences = train["global_batch_tokens"] // train["sequence_length"]
    world = hardware.world_size
    if sequences % world:
        near = max(sequences // world, 1) * world * train["sequence_length"]
        raise SpecError(
            f"train.global_batch_tokens: {train['global_batch_tokens']} is {sequences} sequences, which {world} "
            f"devices cannot share equally: use {near}"
        )
    share = sequences // world
    wanted = engine["micro_batch_sequences"]
    if wanted == "auto":
        return [(size, share // size) for size in range(1, share + 1) if share % size == 0]
    if share % wanted:
        raise SpecError(
            f"engine.micro_batch_sequences: {wanted} does not divide the {share} sequences that each of {world} "
            f"devices takes of a global batch of {train['global_batch_tokens']} tokens"
        )
    return [(wanted, share // wanted)]
