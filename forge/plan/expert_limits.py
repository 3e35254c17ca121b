"""With what experts can't be shared: what has no sense, or was not seen to train as when each device has all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forge.errors import SpecError
from forge.plan.hardware import Hardware
from forge.plan.space import AUTO, degree_of, devices_of, divisors_near, resolve_precision
from forge.plan.types import ModelPlan

KEY = "engine.expert_parallel_degree"


def check_expert_parallel(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> None:
    """Refuse a degree of expert parallelism that the model, the hardware or another key contradicts.

    Raises:
        SpecError: with a line for each.
    """
    degree = degree_of(engine["expert_parallel_degree"])
    if degree == 1:
        return
    lines = [*_counts(degree, model, hardware), *_beside(hardware, engine, train, model)]
    if lines:
        raise SpecError(*lines)


def _counts(degree: int, model: ModelPlan, hardware: Hardware) -> Iterator[str]:
    if not model.experts:
        yield f"{KEY}: a dense model has no experts to share: use 1"
    elif model.experts % degree:
        near = divisors_near(degree, model.experts)
        yield f"{KEY}: {degree} does not divide the {model.experts} experts of a layer: use {near}"
    if hardware.world_size % degree:
        near = divisors_near(degree, hardware.world_size)
        yield f"{KEY}: {degree} does not divide {devices_of(hardware)}: use {near}"


def _beside(
    hardware: Hardware, engine: dict[str, Any], train: dict[str, Any], model: ModelPlan
) -> Iterator[str]:
    """Yield the keys that don't go with it."""
    without = f"{KEY}=1"
    if engine["zero_stage"] == 0:
        yield (
            "engine.zero_stage: at stage 0 gradients are clipped by what one device holds, of shared experts a part: "
            f"use engine.zero_stage=1, or {without}"
        )
    for key in ("offload_optimizer", "offload_parameters"):
        if engine[key] not in (AUTO, "none"):
            yield f"engine.{key}: shared experts stay on their devices: use engine.{key}=none, or {without}"
    if engine["hpz_partition_size"] not in (AUTO, 1):
        yield (
            "engine.hpz_partition_size: DeepSpeed has no second copy of shared experts: use "
            f"engine.hpz_partition_size=1, or {without}"
        )
    if resolve_precision(hardware, train) == "fp16":
        yield f"train.precision: shared experts were not trained in fp16: use train.precision=bf16, or {without}"
    if model.lora_rank:
        yield (
            f"{KEY}: adapters are not of experts, which lie frozen: use 1, and engine.zero_stage=3, which shards them"
        )
    given = engine["deepspeed"]
    zero = given.get("zero_optimization", {})
    if given.get("prescale_gradients"):
        yield (
            "engine.deepspeed.prescale_gradients: DeepSpeed divides gradients of shared experts before by itself: drop "
            f"it, or use {without}"
        )
    for key, wanted in (
        ("reduce_scatter", True),
        ("contiguous_gradients", True),
        ("zero_quantized_weights", False),
        ("zero_quantized_gradients", False),
    ):
        if zero.get(key, wanted) != wanted:
            yield (
                f"engine.deepspeed.zero_optimization.{key}: DeepSpeed reduces shared experts with "
                f"{str(wanted).lower()} alone: drop it, or use {without}"
            )
