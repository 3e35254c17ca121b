"""The space of layouts: what the spec leaves open, less what forge's engine cannot run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from forge.errors import SpecError
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout, Optimizer, Precision, StatesPrecision, stored_precision

MAX_MICRO_BATCH_SEQUENCES = 8192
"""Larger micro-batches are not searched: no device is faster with more."""

BUCKET_BYTES = (25_000_000, 100_000_000, 200_000_000)
"""Small buckets overlap better, large ones use links better (Rajbhandari 2020, §5.2, has 0.5 GB)."""

LOSS_CHUNKS = (1, 8)

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Shape:
    """All choices of a layout but the micro-batch and, with it, the accumulation."""

    zero_stage: Literal[0, 1, 2, 3]
    activation_checkpointing: Literal["none", "selective", "full"]
    offload_optimizer: Literal["none", "cpu", "nvme"]
    offload_parameters: Literal["none", "cpu", "nvme"]
    hpz_partition_size: int
    loss_chunks: int
    bucket_bytes: int
    precision: Precision
    attention: Literal["sdpa", "flash", "eager"]
    sequence_parallel_degree: int
    optimizer_states: StatesPrecision
    optimizer: Optimizer
    compile_layers: bool
    expert_parallel_degree: int

    def layout(self, micro_batch_sequences: int, gradient_accumulation_steps: int) -> Layout:
        """Return the layout of this shape with a micro-batch."""
        return Layout(
            self.zero_stage,
            micro_batch_sequences,
            gradient_accumulation_steps,
            self.activation_checkpointing,
            self.offload_optimizer,
            self.precision,
            self.bucket_bytes,
            self.offload_parameters,
            self.hpz_partition_size,
            self.sequence_parallel_degree,
            self.attention,
            self.loss_chunks,
            self.optimizer_states,
            self.optimizer,
            self.compile_layers,
            self.expert_parallel_degree,
        )

    @property
    def tricks(self) -> int:
        """What it does to save memory; of two layouts as fast as each other the plainer one is chosen."""
        return (
            (self.activation_checkpointing != "none")
            + (self.offload_optimizer != "none")
            + (self.offload_parameters != "none")
            + (self.hpz_partition_size > 1)
            + (self.loss_chunks > 1)
        )


@dataclass(frozen=True, slots=True)
class Space:
    """Every layout that may be chosen: each shape with each micro-batch."""

    shapes: tuple[Shape, ...]
    micro_batches: tuple[tuple[int, int], ...]
    """(micro-batch, accumulation), ascending; each makes up the global batch exactly."""

    @property
    def candidates(self) -> int:
        """Layouts in all."""
        return len(self.shapes) * len(self.micro_batches)


def layout_space(hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]) -> Space:
    """Return the layouts that a spec allows on its hardware.

    Sequence and expert parallelism and NVMe are taken where they are pinned and never chosen: what they need of the
    machine (a fast link, a fast disk and libaio) or of the data (experts in even use) is not known of it.

    Raises:
        SpecError: what is pinned contradicts itself or the hardware, or forge's engine trains wrongly with it; or the
            global batch cannot be shared by the devices.
    """
    precision = resolve_precision(hardware, train)
    _refuse(hardware, engine, train, precision)
    micro_batches = _micro_batches(hardware, engine, train)
    on_gpu = hardware.device == "cuda"
    # Stage 0 replicates what stage 1 shards and saves nothing for it, so it is never chosen, only obeyed.
    choices = itertools.product(
        _open(engine["zero_stage"], (1, 2, 3)),
        _open(engine["activation_checkpointing"], ("none", "selective", "full")),
        _open(engine["offload_optimizer"], ("none", "cpu") if on_gpu else ("none",)),
        _open(engine["offload_parameters"], ("none", "cpu") if on_gpu else ("none",)),
        _open(engine["hpz_partition_size"], _hpz_sizes(hardware)),
        _open(engine["loss_chunks"], LOSS_CHUNKS),
        _open(engine["bucket_bytes"], BUCKET_BYTES if hardware.world_size > 1 else BUCKET_BYTES[:1]),
    )
    attention: Literal["sdpa", "flash", "eager"] = (
        "sdpa" if engine["attention"] == AUTO else engine["attention"]
    )
    degree, expert_degree = _degree(engine), degree_of(engine["expert_parallel_degree"])
    states: StatesPrecision = train["optimizer_states"]
    optimizer: Optimizer = train["optimizer"]
    compiled: bool = engine["compile_layers"]
    shapes = (
        Shape(*choice, precision, attention, degree, states, optimizer, compiled, expert_degree)
        for choice in choices
    )
    return Space(tuple(shape for shape in shapes if _consistent(shape)), micro_batches)


def resolve_precision(hardware: Hardware, train: dict[str, Any]) -> Precision:
    """Return the precision: what the spec pins, else bf16 where the hardware multiplies it natively."""
    if train["precision"] == AUTO:
        return "bf16" if hardware.native_bf16 else "fp32"
    precision: Precision = train["precision"]
    return precision


def _degree(engine: dict[str, Any]) -> int:
    return degree_of(engine["sequence_parallel_degree"])


def degree_of(value: Any) -> int:
    """Return the degree that a key says: `auto` is 1."""
    return 1 if value == AUTO else int(value)


def _open(value: Any, choices: tuple[Any, ...]) -> tuple[Any, ...]:
    return choices if value == AUTO else (value,)


def _hpz_sizes(hardware: Hardware) -> tuple[int, ...]:
    """A second copy within each machine spares the network between machines; within one machine it gains nothing."""
    if hardware.device == "cuda" and hardware.nodes > 1 and hardware.devices_per_node > 1:
        return (1, hardware.devices_per_node)
    return (1,)


def _consistent(shape: Shape) -> bool:
    if shape.compile_layers and (shape.zero_stage == 3 or shape.activation_checkpointing == "selective"):
        return False
    if shape.expert_parallel_degree > 1 and (
        shape.zero_stage == 0
        or shape.hpz_partition_size > 1
        or shape.offload_optimizer != "none"
        or shape.offload_parameters != "none"
    ):
        return False
    if shape.optimizer == "muon" and (shape.zero_stage not in (1, 2) or shape.offload_optimizer != "none"):
        return False
    if shape.offload_parameters != "none" and (shape.zero_stage != 3 or shape.offload_optimizer == "none"):
        return False
    if shape.offload_optimizer != "none" and shape.zero_stage == 0:
        return False
    if "nvme" in (shape.offload_optimizer, shape.offload_parameters) and shape.zero_stage != 3:
        return False
    return shape.hpz_partition_size == 1 or shape.zero_stage == 3


def _refuse(hardware: Hardware, engine: dict[str, Any], train: dict[str, Any], precision: Precision) -> None:
    """Raise for every pin that contradicts another or the hardware, or with which the engine would train wrongly."""
    found = _contradictions(hardware, engine, train, precision)
    problems = [f"engine.{key}: {problem}" for key, problem in found]
    if precision == "bf16" and hardware.device == "cuda" and not hardware.native_bf16:
        problems.append(
            f"train.precision: {hardware.gpu} does not multiply bf16: use train.precision=fp16, or fp32"
        )
    if precision == "fp16" and hardware.device == "cpu":
        problems.append("train.precision: DeepSpeed has no fp16 on a CPU: use train.precision=bf16, or fp32")
    if train["optimizer_states"] == "bf16" and stored_precision(precision) != "bf16":
        problems.append(
            f"train.optimizer_states: bf16 states go with bf16 weights, and these are {precision}: "
            "use train.optimizer_states=fp32"
        )
    if problems:
        raise SpecError(*problems)


def _contradictions(
    hardware: Hardware, engine: dict[str, Any], train: dict[str, Any], precision: str
) -> Iterator[tuple[str, str]]:
    stage, optimizer, parameters = (
        engine["zero_stage"],
        engine["offload_optimizer"],
        engine["offload_parameters"],
    )
    hpz, degree, attention = (
        engine["hpz_partition_size"],
        engine["sequence_parallel_degree"],
        engine["attention"],
    )
    if stage == 0 and precision != "fp32":
        yield (
            "zero_stage",
            f"ZeRO stage 0 in {precision} takes a wrong first step in DeepSpeed 0.19: "
            "use engine.zero_stage=1, or train.precision=fp32",
        )
    for key, place in (("offload_optimizer", optimizer), ("offload_parameters", parameters)):
        if place not in (AUTO, "none") and hardware.device == "cpu":
            yield key, f"hardware={hardware.name} has no GPU to offload from: use engine.{key}=none"
        elif place == "nvme" and stage not in (AUTO, 3):
            yield (
                key,
                f"DeepSpeed swaps to NVMe at ZeRO stage 3 alone: use engine.zero_stage=3, or engine.{key}=cpu",
            )
    if optimizer == "nvme" and train["optimizer_states"] == "bf16":
        yield (
            "offload_optimizer",
            "DeepSpeed swaps fp32 states only: use train.optimizer_states=fp32, or engine.offload_optimizer=cpu",
        )
    if optimizer == "cpu" and stage == 0:
        yield "offload_optimizer", "DeepSpeed offloads what ZeRO shards: use engine.zero_stage=1 or more"
    if parameters not in (AUTO, "none"):
        if stage not in (AUTO, 3):
            yield (
                "offload_parameters",
                "parameters are offloaded by ZeRO stage 3 alone: use engine.zero_stage=3, "
                "or engine.offload_parameters=none",
            )
        if optimizer == "none":
            yield (
                "offload_parameters",
                "parameters are not offloaded without the optimizer: use engine.offload_optimizer=cpu, "
                "or engine.offload_parameters=none",
            )
    if hpz not in (AUTO, 1):
        if stage not in (AUTO, 3):
            yield (
                "hpz_partition_size",
                "parameters are partitioned by ZeRO stage 3 alone: use engine.zero_stage=3, "
                "or engine.hpz_partition_size=1",
            )
        if hardware.world_size % hpz:
            yield (
                "hpz_partition_size",
                f"{hpz} does not divide {devices_of(hardware)}: use {divisors_near(hpz, hardware.world_size)}, or auto",
            )
    if degree not in (AUTO, 1):
        if hardware.device == "cpu":
            yield (
                "sequence_parallel_degree",
                f"hardware={hardware.name} has no GPUs to share a sequence: use 1",
            )
        elif hardware.world_size % degree:
            yield (
                "sequence_parallel_degree",
                f"{degree} does not divide {devices_of(hardware)}: use {divisors_near(degree, hardware.world_size)}",
            )
        elif train["sequence_length"] % degree:
            yield (
                "sequence_parallel_degree",
                f"{degree} does not divide a sequence of {train['sequence_length']} tokens: use "
                f"{divisors_near(degree, train['sequence_length'])}",
            )
    if engine["compile_layers"]:
        yield from _not_compiled(engine, train)
    if attention == "flash" and hardware.device == "cpu":
        yield "attention", f"hardware={hardware.name} has no GPU for flash-attn: use engine.attention=sdpa"


def _not_compiled(engine: dict[str, Any], train: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what does not go with compiled layers."""
    if engine["zero_stage"] == 3:
        yield (
            "compile_layers",
            "ZeRO stage 3 gathers weights in the middle of a layer: use engine.compile_layers=false, or "
            "engine.zero_stage=2",
        )
    if engine["activation_checkpointing"] == "selective":
        yield (
            "compile_layers",
            "a compiled layer is not checkpointed selectively; it computes element-wise work again by itself: use "
            "engine.activation_checkpointing=none or full, or engine.compile_layers=false",
        )
    if train["optimizer"] == "muon":
        yield (
            "compile_layers",
            "with muon nothing is compiled, as DeepSpeed would compile its steps anew for each shape: use "
            "engine.compile_layers=false, or train.optimizer=adamw",
        )
    if engine["sequence_parallel_degree"] not in (AUTO, 1):
        yield (
            "compile_layers",
            "layers of shared sequences are not compiled: use engine.compile_layers=false, or "
            "engine.sequence_parallel_degree=1",
        )
    if engine["attention"] not in (AUTO, "sdpa"):
        yield (
            "compile_layers",
            f"layers with engine.attention={engine['attention']} are not compiled: use engine.attention=sdpa",
        )


def devices_of(hardware: Hardware) -> str:
    """Return how many devices there are, in words."""
    return "the one device" if hardware.world_size == 1 else f"the {hardware.world_size} devices"


def _micro_batches(
    hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> tuple[tuple[int, int], ...]:
    """Return (micro-batch, accumulation) pairs that make up the global batch exactly."""
    # Devices that share a sequence count as one.
    length, world = train["sequence_length"], hardware.world_size // _degree(engine)
    sequences = train["global_batch_tokens"] // length
    if sequences % world:
        near = [share * world * length for share in (sequences // world, sequences // world + 1) if share]
        raise SpecError(
            f"train.global_batch_tokens: a batch of {_sequences(sequences)} (of {length} tokens) is not what {world} "
            f"devices can share equally: use {' or '.join(map(str, near))}"
        )
    share = sequences // world
    each = "" if world == 1 else f" that each of {world} devices takes"
    takes = f"the {_sequences(share)}{each} of a global batch"
    size, accumulation = engine["micro_batch_sequences"], engine["gradient_accumulation_steps"]
    if size != AUTO and accumulation != AUTO and size * accumulation != share:
        raise SpecError(
            f"engine.gradient_accumulation_steps: {accumulation} micro-batches of {size} are not {takes}: "
            "leave one of the two auto"
        )
    for key, value in (("micro_batch_sequences", size), ("gradient_accumulation_steps", accumulation)):
        if value != AUTO and share % value:
            raise SpecError(
                f"engine.{key}: {value} does not divide {takes}: use {divisors_near(value, share)}, or auto"
            )
    if size != AUTO:
        return ((size, share // size),)
    if accumulation != AUTO:
        return ((share // accumulation, accumulation),)
    largest = min(share, MAX_MICRO_BATCH_SEQUENCES)
    return tuple((size, share // size) for size in range(1, largest + 1) if share % size == 0)


def _sequences(count: int) -> str:
    return "one sequence" if count == 1 else f"{count} sequences"


def divisors_near(value: int, whole: int) -> str:
    """Return the divisors of `whole` next to `value`, below and above it, in words."""
    small = [size for size in range(1, math.isqrt(whole) + 1) if whole % size == 0]
    divisors = sorted({*small, *(whole // size for size in small)})
    below = [size for size in divisors if size < value][-1:]
    above = [size for size in divisors if size > value][:1]
    return " or ".join(map(str, below + above))
