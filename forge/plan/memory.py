"""Memory of one device during training, item by item.

A step has a handful of moments at which memory can peak: the loss, the head's gradient, the backward pass of the
last and of the first layer, the embedding's gradient, the optimizer step. For each this module says what is alive,
as sums of terms in tokens and sequence length (`Size`); the items of a plan are those of the worst moment, so they
add up to the peak.

Model states: Rajbhandari 2020 (ZeRO), table 1, with what DeepSpeed 0.19 keeps besides, read from its code and
measured by `benchmarks/memory.py`: gradients of whole weights at a partition's edges, a second buffer of the bucket
while it is reduced, gradients in fp32 for the step, and a norm taken in fp64. Activations: `forge.plan.activations`.
Counted on the last device, which owns the head: it holds the most while activations are alive.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from forge.plan.activations import (
    WIDTH_BYTES,
    Size,
    layer_kept,
    layer_saved,
    layer_working,
    logits,
    outside_layers,
    total,
)
from forge.plan.gathered import Gathered, gathered_elements
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.types import MemoryItem, ModelPlan
from forge.plan.weights import Weights, weights_of

BYTES = WIDTH_BYTES

CUDA_CONTEXT_BYTES = 1024**3
"""A process with CUDA and NCCL: 0.5 to 2 GiB (ml-engineering, debugging notes)."""

CPU_PROCESS_BYTES = 640 * 1024**2
"""Resident memory of a worker before it builds a model: Python, torch, transformers, DeepSpeed.

Measured by benchmarks/cpu_rate.py, November 2026.
"""

FRAGMENTATION_FRACTION = 0.04
"""Reserved but unused by the caching allocator, as a share of what is allocated."""

MOMENTS_BYTES = 8
"""Adam's two moments, fp32, a parameter."""

MASTER_BYTES = 4
"""The fp32 copy of a parameter that the optimizer updates."""

ITEMS = (
    "parameters",
    "gradients",
    "optimizer states",
    "saved activations",
    "working activations",
    "logits and loss",
    "gathered layers",
    "communication buckets",
    "optimizer step",
)
"""Names of the items, in the order in which they are shown."""


class Moment(NamedTuple):
    """What is alive at one moment of a step: a size for each of ITEMS."""

    name: str
    sizes: tuple[Size, ...]
    sum: Size


def memory_items(
    model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int
) -> tuple[MemoryItem, ...]:
    """Return the memory one device needs at its peak, item by item.

    Args:
        model: the network.
        layout: how it is spread.
        hardware: the device it is for.
        sequence_length: tokens in a sequence.
    """
    tokens = layout.micro_batch_sequences * sequence_length / layout.sequence_parallel_degree
    moment = max(
        _moments_of(model, layout, hardware.world_size),
        key=lambda each: each.sum.bytes(tokens, sequence_length),
    )
    items = [
        MemoryItem(name, round(size.bytes(tokens, sequence_length)))
        for name, size in zip(ITEMS, moment.sizes, strict=True)
        if any(size)
    ]
    allocated = sum(item.bytes for item in items)
    return (*items, *_outside(allocated, hardware))


def peak_bytes(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> int:
    """Return the sum of `memory_items` to within a few bytes, faster."""
    tokens = layout.micro_batch_sequences * sequence_length / layout.sequence_parallel_degree
    allocated = allocated_bytes(model, layout, hardware.world_size, sequence_length, tokens)
    return allocated + sum(item.bytes for item in _outside(allocated, hardware))


def allocated_bytes(
    model: ModelPlan, layout: Layout, world_size: int, sequence_length: int, tokens: float
) -> int:
    """Return what torch's allocator holds at the peak: what `torch.cuda.max_memory_allocated` would say."""
    return round(
        max(moment.sum.bytes(tokens, sequence_length) for moment in _moments_of(model, layout, world_size))
    )


def saved_bytes(model: ModelPlan, layout: Layout, sequence_length: int) -> int:
    """Return what the forward pass of a micro-batch leaves for its backward pass, logits' share included."""
    tokens = layout.micro_batch_sequences * sequence_length / layout.sequence_parallel_degree
    saved = _saved(model, layout.precision, layout.attention, layout.activation_checkpointing)
    of_loss = 4 * model.vocab_size * tokens if layout.loss_chunks == 1 else 0
    return round(saved.bytes(tokens, sequence_length) + of_loss)


def state_bytes(model: ModelPlan, layout: Layout, world_size: int) -> int:
    """Return what a device holds between two steps: weights, optimizer states, what stage 3 keeps allocated."""
    states = _states(model, layout.precision, layout.zero_stage, world_size, layout.offload_optimizer)
    bucket = layout.bucket_bytes if layout.zero_stage == 3 else 0
    return round(sum(states) + bucket)


def checkpoint_bytes(model: ModelPlan, precision: str, zero_stage: int = 1) -> int:
    """Return the size of one checkpoint, measured on DeepSpeed 0.19: 12 to 16 bytes a parameter.

    Stages 1 and 2 write weights, fp32 master weights and both moments; stage 3 leaves the weights out; stage 0, in
    fp32, has no master weights.
    """
    weights = 0 if zero_stage == 3 else BYTES[precision]
    master = 0 if zero_stage == 0 else MASTER_BYTES
    return (weights + master + MOMENTS_BYTES) * model.parameters


def _outside(allocated: int, hardware: Hardware) -> tuple[MemoryItem, ...]:
    if hardware.device == "cpu":
        return (MemoryItem("process", CPU_PROCESS_BYTES),)
    return (
        MemoryItem("allocator fragmentation", round(FRAGMENTATION_FRACTION * allocated)),
        MemoryItem("CUDA context", CUDA_CONTEXT_BYTES),
    )


def _moments_of(model: ModelPlan, layout: Layout, world_size: int) -> tuple[Moment, ...]:
    return _moments(
        model,
        layout.precision,
        layout.zero_stage,
        layout.activation_checkpointing,
        layout.attention,
        layout.loss_chunks,
        layout.bucket_bytes,
        layout.gradient_accumulation_steps > 1,
        layout.offload_optimizer,
        layout.offload_parameters,
        layout.hpz_partition_size,
        world_size,
    )


def _saved(model: ModelPlan, precision: str, attention: str, checkpointing: str) -> Size:
    """Kept by all layers and outside them."""
    layers = layer_kept(model, precision, attention, checkpointing).times(model.layers)
    return layers.plus(outside_layers(model, precision, attention, checkpointing))


class _States(NamedTuple):
    """Bytes that live through the whole step."""

    parameters: float
    gradients: float
    optimizer: float


def _states(model: ModelPlan, precision: str, stage: int, world: int, offload: str) -> _States:
    w, parameters = BYTES[precision], model.parameters
    if stage == 0:
        return _States(w * parameters, 0, MOMENTS_BYTES * parameters)
    optimizer = 0.0 if offload != "none" else (MASTER_BYTES + MOMENTS_BYTES) * parameters / world
    if stage < 3:
        return _States(w * parameters, 0, optimizer)
    whole = weights_of(model).vectors * (1 - 1 / world)
    gradients = 0.0 if offload != "none" else w * parameters / world
    return _States(w * (parameters / world + whole), gradients, optimizer)


@functools.lru_cache(maxsize=4096)
def _moments(
    model: ModelPlan,
    precision: str,
    stage: int,
    checkpointing: str,
    attention: str,
    loss_chunks: int,
    bucket_bytes: int,
    accumulates: bool,
    offload_optimizer: str,
    offload_parameters: str,
    hpz_partition_size: int,
    world: int,
) -> tuple[Moment, ...]:
    """Return the moments of a step, for any micro-batch and sequence length."""
    w = BYTES[precision]
    weights = weights_of(model)
    states = _states(model, precision, stage, world, offload_optimizer)
    parameters = states.parameters
    if hpz_partition_size > 1 and stage == 3:
        parameters += w * model.parameters / hpz_partition_size
    if offload_parameters != "none" and stage == 3:
        parameters = w * weights.vectors
    gradients = _Gradients(weights, model.layers, w, stage, world, bucket_bytes, accumulates)
    whole = Gathered(0, 0, 0)
    if stage == 3:
        whole = gathered_elements(model, bucket_bytes // w, checkpointing != "none", loss_chunks, world)

    def moment(
        name: str,
        saved: Size = Size(),
        working: Size = Size(),
        loss: Size = Size(),
        made: float = 0,
        gathered: float = 0,
        buckets: float = 0,
        step: float = 0,
    ) -> Moment:
        sizes = (
            Size(parameters),
            Size(states.gradients + made),
            Size(states.optimizer),
            saved,
            working,
            loss,
            Size(w * gathered),
            Size(buckets),
            Size(step),
        )
        return Moment(name, sizes, total(*sizes))

    kept = layer_kept(model, precision, attention, checkpointing)
    saved = _saved(model, precision, attention, checkpointing)
    scores = Size()
    if attention == "eager":
        # The scores of the last layer while it runs forward: before the softmax and the mask they are added to.
        forward = Size(score=w * model.attention_heads + (w if checkpointing == "none" else 0))
        if checkpointing != "none":
            forward = forward.plus(layer_saved(model, precision, attention)).plus(kept.times(-1))
        scores = forward
    head_gradient = w * weights.head
    all_head = Size(head_gradient * (2 if loss_chunks > 1 else 1), token=w * model.hidden_size).plus(
        Size(token=w * model.vocab_size / loss_chunks)
    )
    moments = [
        moment(
            "loss",
            saved,
            loss=logits(model, loss_chunks),
            made=gradients.before,
            gathered=whole.loss,
            buckets=gradients.buckets_before,
        ),
        moment(
            "head",
            saved,
            loss=all_head,
            made=gradients.before,
            gathered=whole.loss,
            buckets=gradients.buckets_before,
        ),
        moment(
            "head reduced",
            saved,
            made=gradients.after_head,
            gathered=whole.first_layer,
            buckets=gradients.buckets + gradients.reducing_head,
        ),
        moment(
            "embedding",
            made=gradients.after(model.layers) + w * weights.embedding,
            gathered=whole.last_layer,
            buckets=gradients.buckets + gradients.reducing,
        ),
    ]
    if any(scores):
        moments.append(
            moment("scores", saved, scores, made=gradients.before, gathered=whole.loss,
                   buckets=gradients.buckets_before)
        )  # fmt: skip
    for working in layer_working(model, precision, attention, checkpointing):
        layers_left = outside_layers(model, precision, attention, checkpointing)._replace(token=16)
        for done, gathered in ((0, whole.first_layer), (model.layers - 1, whole.last_layer)):
            moments.append(
                moment(
                    f"layer {model.layers - done}",
                    kept.times(model.layers - done).plus(layers_left),
                    working,
                    made=gradients.after(done),
                    gathered=gathered,
                    buckets=gradients.buckets + gradients.reducing,
                )
            )
    moments += [
        moment("norm", made=gradients.owned, step=gradients.norm),
        moment("step", made=gradients.owned, step=gradients.step),
    ]
    return tuple(moments)


class _Gradients:
    """Gradients of a backward pass and the buffers they are reduced in, in bytes, as DeepSpeed 0.19 handles them.

    Stages 0 and 1 on one device: all stay until the step. Stage 1 on more: those smaller than a bucket are moved
    into the two buckets as they come, larger ones stay. Stage 2: reduced and freed as they come; whole weights that
    touch the device's own part are kept. Stage 3: a buffer of the device's part is always there.
    """

    def __init__(
        self, weights: Weights, layers: int, w: int, stage: int, world: int, bucket: int, accumulates: bool
    ) -> None:
        self._weights, self._w, self._layers = weights, w, layers
        limit = bucket // w
        every = weights.head + layers * weights.layer_elements + (0 if weights.tied else weights.embedding)
        large = [size for size in weights.layer_matrices if size > limit]
        stays_whole = stage == 0 or (stage == 1 and world == 1)
        self._layer = w * (weights.layer_elements if stays_whole else sum(large) if stage == 1 else 0)
        self._head = w * weights.head if stays_whole or (stage == 1 and weights.head > limit) else 0
        # One weight's gradient is alive between its making and its reduction.
        largest = max(weights.layer_matrices)
        self._one = 0.0 if stays_whole else w * (largest if largest > limit or stage == 0 else 0)
        self._copy = 0.0 if stage == 0 else w * largest
        self._tied = w * weights.head if weights.tied else 0
        touched, slice_elements = _touched(weights, layers, every / world)
        own = w * touched if stage in (1, 2) else 0.0
        before_own = own if stage == 2 and accumulates else 0.0
        whole_before = w * every if accumulates and stage <= 1 else 0.0
        self._own = 0.0 if stays_whole else own
        self.before = whole_before + before_own
        buckets = {0: 0, 1: 1, 2: 1, 3: 1}[stage] * bucket
        if stage in (1, 2) and world > 1:
            buckets *= 2
        self.buckets = buckets
        self.buckets_before = buckets if stage == 3 or (stage == 1 and accumulates) else 0
        self.reducing = 0.0 if stage == 0 else min(bucket, w * weights.layer_elements)
        if stage in (1, 2, 3) and large:
            self.reducing = w * max(large)
        self.reducing_head = 0.0
        self._whole_before = whole_before
        self.after_head = self.before + w * weights.head
        if weights.head > limit and stage > 0 and not weights.tied:
            part = every / world
            copied = min(weights.head, max(part, limit) + min(part, limit)) if stage < 3 else weights.head
            self.reducing_head = w * copied
            if stage in (1, 2) and not stays_whole:
                self.reducing_head = max(w * copied, own)
        # The step: the owned part, once more flat when it is made of several weights, and in fp32.
        self.owned = own if stage in (1, 2) else w * every if stage == 0 else 0.0
        part = every / world if stage > 0 else every
        if stage == 3:
            self.norm = 8 * max(weights.head, largest) / world
            self.step = (4 + (w if w == 4 else w)) * part
        elif stage == 0:
            self.norm = 0.0
            self.step = min(4 * every, 4 * 500_000_000) if world > 1 else 0.0
        else:
            self.norm = 8 * slice_elements
            several = touched > weights.head or weights.tied
            self.step = (4 if w == 2 else 0) * part + (w * part if several else 0)

    def after(self, layers: int) -> float:
        """Bytes of gradients when the backward pass of `layers` layers and of the head is done, and one is made."""
        grown = self._head + layers * self._layer
        if self._whole_before:
            grown = max(self._whole_before - 0, grown) if self._layer else self._whole_before
        return grown + self._own + (self.before - self._whole_before) + self._one + self._tied


def _touched(weights: Weights, layers: int, part: float) -> tuple[int, float]:
    """Return (elements of all weights that the last `part` elements touch, the most that one of them has in it)."""
    from_the_end = [] if weights.tied else [weights.head]
    from_the_end += list(weights.layer_matrices[::-1]) * layers
    from_the_end.append(weights.embedding)
    touched, largest, left = 0, 0.0, part
    for size in from_the_end:
        if left <= 0:
            break
        touched += size
        largest = max(largest, min(size, left))
        left -= size
    return touched, largest
