"""Choose the layout: of all that the spec leaves open, the fastest (or cheapest) that fits.

Exhaustive, with one bound: memory grows with the micro-batch, so for each shape the largest micro-batch that fits is
found by bisection and only those below it are timed.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from forge.errors import FitError, SpecError
from forge.plan.expert_limits import check_expert_parallel
from forge.plan.fp8 import check_fp8
from forge.plan.hardware import GIB, Hardware
from forge.plan.host_memory import host_memory_items
from forge.plan.layout import Layout
from forge.plan.memory import memory_items, peak_bytes
from forge.plan.space import AUTO, Shape, Space, degree_of, layout_space
from forge.plan.time import step_time_s
from forge.plan.types import MemoryItem, ModelPlan

ALTERNATIVES = 4

HOST_SHARE = 0.9
"""Of a machine's memory that training may take; the rest is the system's and the page cache's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout on the hardware it uses, with what it needs and how long a step takes."""

    layout: Layout
    hardware: Hardware
    memory: tuple[MemoryItem, ...]
    step_time_s: float

    @property
    def peak_memory_bytes(self) -> int:
        """Of one device."""
        return sum(item.bytes for item in self.memory)


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a search."""

    winner: Candidate
    alternatives: tuple[Candidate, ...]
    """The best of other kinds (ZeRO stage, checkpointing, offload), best first."""
    rejected: tuple[Candidate, ...]
    """The plain layouts one would try first and that do not fit: a ZeRO stage at the next larger micro-batch."""
    candidates: int
    """Layouts considered."""


_Order = tuple[float, int, int, int, int]
"""Objective, tricks, ZeRO stage, bucket, micro-batch: of equals the plainer and smaller comes first."""


def choose_layout(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> Choice:
    """Return the best layout that fits: the fastest, or with `train.objective: cost` the cheapest.

    For the cheapest, fewer machines than the hardware has may be used; they are then fewer throughout the plan.

    Raises:
        SpecError: the spec pins what contradicts itself or what forge's engine cannot run.
        FitError: nothing fits; `why_nothing_fits` says by how much.
    """
    if train["precision"] == "fp8":
        check_fp8(model, hardware, engine, train)
    spaces = [(hardware, layout_space(hardware, engine, train))]
    degree = engine["sequence_parallel_degree"]
    if degree != AUTO and model.attention_heads % degree:
        raise SpecError(
            f"engine.sequence_parallel_degree: {degree} does not divide the {model.attention_heads} attention heads, "
            "which the devices of a sequence share: use a divisor"
        )
    if degree != AUTO and model.kv_heads % degree:
        raise SpecError(
            f"engine.sequence_parallel_degree: {degree} does not divide the {model.kv_heads} heads of keys and values, "
            "which the devices of a sequence share: use a divisor"
        )
    if degree not in (AUTO, 1) and model.experts:
        raise SpecError(
            "engine.sequence_parallel_degree: the experts of a mixture are balanced over whole sequences: use 1"
        )
    check_expert_parallel(model, hardware, engine, train)
    if engine["compile_layers"] and (model.experts or model.lora_rank):
        part = "adapters" if model.lora_rank else "experts"
        raise SpecError(
            f"engine.compile_layers: layers with {part} are not compiled: use engine.compile_layers=false"
        )
    if train["objective"] == "cost":
        spaces += _smaller(hardware, engine, train)
    best: dict[tuple[Any, ...], tuple[_Order, Layout, Hardware]] = {}
    for machines, space in spaces:
        for order, layout in _fitting(model, machines, engine, train, space):
            kind = (machines.nodes, *_kind(layout))
            if kind not in best or order < best[kind][0]:
                best[kind] = (order, layout, machines)
    if not best:
        raise FitError(f"hardware={hardware.name}: no layout fits")
    ranked = sorted(best.values(), key=lambda entry: entry[0])[: ALTERNATIVES + 1]
    length = train["sequence_length"]
    first, *others = (evaluate(model, layout, machines, length) for _, layout, machines in ranked)
    return Choice(
        winner=first,
        alternatives=tuple(others),
        rejected=tuple(_rejected(model, hardware, engine, train, spaces[0][1])),
        candidates=sum(space.candidates for _, space in spaces),
    )


def evaluate(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> Candidate:
    """Return a layout with its memory and time."""
    return Candidate(
        layout,
        hardware,
        memory_items(model, layout, hardware, sequence_length),
        step_time_s(model, layout, hardware, sequence_length),
    )


def usable_memory_bytes(hardware: Hardware, engine: dict[str, Any]) -> int:
    """Return the memory of a device that a plan may fill: all but the headroom."""
    return int(hardware.device_memory_bytes * (1 - engine["memory_headroom_fraction"]))


def host_memory_bytes(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> int:
    """Return the memory one machine needs, without the order of the data, which no layout changes."""
    return sum(item.bytes for item in host_memory_items(model, layout, hardware, sequence_length, 0))


def _smaller(
    hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> Iterator[tuple[Hardware, Space]]:
    """Yield the hardware with a half, a quarter, ... of its machines, where they share the global batch equally."""
    sequences = train["global_batch_tokens"] // train["sequence_length"]
    nodes = hardware.nodes
    while nodes % 2 == 0:
        nodes //= 2
        world = nodes * hardware.devices_per_node
        if sequences % world == 0 and world % degree_of(engine["expert_parallel_degree"]) == 0:
            fewer = replace(hardware, nodes=nodes)
            yield fewer, layout_space(fewer, engine, train)


def _fitting(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any], space: Space
) -> Iterator[tuple[_Order, Layout]]:
    """Yield every layout of a space that fits, with its place in the order."""
    length = train["sequence_length"]
    for shape in space.shapes:
        for micro_batch, accumulation in _that_fit(model, hardware, engine, length, shape, space):
            layout = shape.layout(micro_batch, accumulation)
            # On one kind of machine money is time times machines.
            objective = hardware.nodes * step_time_s(model, layout, hardware, length)
            yield (objective, shape.tricks, shape.zero_stage, shape.bucket_bytes, micro_batch), layout


def _that_fit(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], length: int, shape: Shape, space: Space
) -> tuple[tuple[int, int], ...]:
    """Return the space's micro-batches that fit, by their size.

    Memory grows with the micro-batch as long as gradients are accumulated. The whole batch at once may need less than
    its half does: nothing is kept from one micro-batch to the next.
    """
    if not _fits_host(model, shape.layout(*space.micro_batches[0]), hardware, length):
        return ()
    usable = usable_memory_bytes(hardware, engine)

    def too_large(pair: tuple[int, int]) -> bool:
        return peak_bytes(model, shape.layout(*pair), hardware, length) > usable

    accumulated = tuple(pair for pair in space.micro_batches if pair[1] > 1)
    at_once = space.micro_batches[len(accumulated) :]
    fits = bisect.bisect_left(accumulated, True, key=too_large)
    return accumulated[:fits] + tuple(pair for pair in at_once if not too_large(pair))


def _fits_host(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> bool:
    if hardware.device == "cpu":
        return True
    return (
        host_memory_bytes(model, layout, hardware, sequence_length) <= HOST_SHARE * hardware.host_memory_bytes
    )


def _kind(layout: Layout) -> tuple[Any, ...]:
    return (
        layout.zero_stage,
        layout.activation_checkpointing,
        layout.offload_optimizer,
        layout.offload_parameters,
    )


def _rejected(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any], space: Space
) -> Iterator[Candidate]:
    """Yield, for each ZeRO stage at its plainest, the smallest micro-batch that does not fit."""
    length = train["sequence_length"]
    for stage in sorted({shape.zero_stage for shape in space.shapes}):
        shapes = [shape for shape in space.shapes if shape.zero_stage == stage]
        plainest = min(shapes, key=lambda shape: (shape.tricks, shape.bucket_bytes))
        fit = _that_fit(model, hardware, engine, length, plainest, space)
        if pair := next((pair for pair in space.micro_batches if pair not in fit), None):
            yield evaluate(model, plainest.layout(*pair), hardware, length)


def why_nothing_fits(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> str:
    """Return the line that names the leanest layout of a spec that does not fit, and what it needs."""
    length, space = train["sequence_length"], layout_space(hardware, engine, train)
    layouts = (shape.layout(*space.micro_batches[0]) for shape in space.shapes)
    leanest = min(layouts, key=lambda layout: peak_bytes(model, layout, hardware, length))
    peak, usable = peak_bytes(model, leanest, hardware, length), usable_memory_bytes(hardware, engine)
    if peak > usable:
        largest = max(memory_items(model, leanest, hardware, length), key=lambda item: item.bytes)
        needs = f"{peak / GIB:.1f} GiB of {usable / GIB:.1f} GiB a device ({largest.name}: {largest.bytes / GIB:.1f})"
    else:
        items = host_memory_items(model, leanest, hardware, length, 0)
        largest = max(items, key=lambda item: item.bytes)
        needs = (
            f"{sum(item.bytes for item in items) / GIB:.0f} GiB of "
            f"{HOST_SHARE * hardware.host_memory_bytes / GIB:.0f} GiB a machine ({largest.name}: "
            f"{largest.bytes / GIB:.0f})"
        )
    return (
        f"hardware={hardware.name}: a model of {model.parameters / 1e9:.1f}B parameters at sequence {length} does not "
        f"fit: the leanest layout ({leanest}) needs {needs}"
    )
