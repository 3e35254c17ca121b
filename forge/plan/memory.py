"""Memory of one device during training, item by item.

A step has a handful of moments at which memory can peak: the loss, the head's gradient, the backward pass of the
last and of the first layer, the embedding's gradient, the optimizer step. For each this module says what is alive,
as sums of terms in tokens and sequence length (`Size`); the items of a plan are those of the worst moment, so they
add up to the peak.

Model states: `forge.plan.states`, with what DeepSpeed 0.19 keeps besides in a step, read from its code and measured by
`benchmarks/memory.py`: gradients of whole weights at a partition's edges, a second buffer of the bucket while it is
reduced, gradients in fp32 for the step, and a norm taken in fp64. Activations: `forge.plan.activations`.
Counted on the last device, which owns the head: it holds the most while activations are alive.
"""

from __future__ import annotations

import functools
import operator
from typing import NamedTuple

from forge.plan.activations import (
    Size,
    layer_forward,
    layer_kept,
    layer_working,
    logits,
    outside_layers,
)
from forge.plan.gathered import Gathered, gathered_elements
from forge.plan.gradients import Gradients
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout, Optimizer
from forge.plan.states import BYTES, model_states
from forge.plan.types import MemoryItem, ModelPlan
from forge.plan.weights import held_weights, trained_weights, weights_of

CUDA_CONTEXT_BYTES = 1024**3
"""A process with CUDA and NCCL: 0.5 to 2 GiB (ml-engineering, debugging notes)."""

CPU_PROCESS_BYTES = 640 * 1024**2
"""Resident memory of a worker before it builds a model: Python, torch, transformers, DeepSpeed.

Measured by benchmarks/cpu_rate.py, November 2026.
"""

FRAGMENTATION_FRACTION = 0.04
"""Reserved but unused by the caching allocator, as a share of what is allocated."""


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


FIXED_ITEMS = (
    "parameters",
    "gradients",
    "optimizer states",
    "gathered layers",
    "communication buckets",
    "optimizer step",
)
GROWING_ITEMS = ("saved activations", "working activations", "logits and loss")

NOTHING = Size()


class Moment(NamedTuple):
    """What is alive at one moment of a step."""

    name: str
    fixed: tuple[float, ...]
    """Bytes of each of FIXED_ITEMS."""
    growing: tuple[Size, ...]
    """Sizes of each of GROWING_ITEMS."""
    sum: Size

    def bytes(self, tokens: float, sequence_length: int) -> dict[str, float]:
        """Return the bytes of each item, in the order in which items are shown."""
        growing = [size.bytes(tokens, sequence_length) for size in self.growing]
        if growing[1] < 0:  # part of what was saved has been freed by then
            growing = [growing[0] + growing[1], 0.0, growing[2]]
        sizes = dict(zip(FIXED_ITEMS + GROWING_ITEMS, (*self.fixed, *growing), strict=True))
        return {name: sizes[name] for name in ITEMS if round(sizes[name])}


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
    items = [MemoryItem(name, round(size)) for name, size in moment.bytes(tokens, sequence_length).items()]
    allocated = sum(item.bytes for item in items)
    return (*items, *_outside(allocated, hardware))


def peak_bytes(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> int:
    """Return the sum of `memory_items` to within a few bytes, faster."""
    tokens = layout.micro_batch_sequences * sequence_length / layout.sequence_parallel_degree
    allocated = allocated_bytes(model, layout, hardware.world_size, sequence_length, tokens)
    if hardware.device == "cpu":
        return allocated + CPU_PROCESS_BYTES
    return round(allocated * (1 + FRAGMENTATION_FRACTION)) + CUDA_CONTEXT_BYTES


def allocated_bytes(
    model: ModelPlan, layout: Layout, world_size: int, sequence_length: int, tokens: float
) -> int:
    """Return what torch's allocator holds at the peak: what `torch.cuda.max_memory_allocated` would say."""
    scores = tokens * sequence_length
    most = 0.0
    for _, _, _, (fixed, token, position, score) in _moments_of(model, layout, world_size):
        held = fixed + token * tokens + position * sequence_length + score * scores
        most = max(most, held)
    return round(most)


def saved_bytes(model: ModelPlan, layout: Layout, sequence_length: int) -> int:
    """Return what the forward pass of a micro-batch leaves for its backward pass, logits' share included."""
    tokens = layout.micro_batch_sequences * sequence_length / layout.sequence_parallel_degree
    saved = _saved(
        model, layout.precision, layout.attention, layout.activation_checkpointing, layout.compile_layers
    )
    of_loss = 4 * model.vocab_size * tokens if layout.loss_chunks == 1 else 0
    return round(saved.bytes(tokens, sequence_length) + of_loss)


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
        layout.optimizer_states,
        layout.zero_stage,
        layout.activation_checkpointing,
        layout.attention,
        layout.compile_layers,
        layout.loss_chunks,
        layout.bucket_bytes,
        layout.gradient_accumulation_steps > 1,
        layout.offload_optimizer,
        layout.offload_parameters,
        layout.hpz_partition_size,
        world_size,
        layout.optimizer,
        layout.expert_parallel_degree,
    )


def _saved(model: ModelPlan, precision: str, attention: str, checkpointing: str, compiled: bool) -> Size:
    """Kept by all layers and outside them."""
    layers = layer_kept(model, precision, attention, checkpointing, compiled).times(model.layers)
    return layers.plus(outside_layers(model, precision, attention, checkpointing))


@functools.lru_cache(maxsize=4096)
def _moments(
    model: ModelPlan,
    precision: str,
    optimizer_states: str,
    stage: int,
    checkpointing: str,
    attention: str,
    compiled: bool,
    loss_chunks: int,
    bucket_bytes: int,
    accumulates: bool,
    offload_optimizer: str,
    offload_parameters: str,
    hpz_partition_size: int,
    world: int,
    optimizer: Optimizer,
    expert_degree: int,
) -> tuple[Moment, ...]:
    """Return the moments of a step, for any micro-batch and sequence length."""
    w = BYTES[precision]
    weights = held_weights(trained_weights(model), expert_degree)
    states = model_states(
        model, precision, optimizer_states, stage, world, offload_optimizer, optimizer, expert_degree
    )
    parameters = states.parameters
    if hpz_partition_size > 1 and stage == 3:
        parameters += w * model.parameters / hpz_partition_size
    if offload_parameters != "none" and stage == 3:
        parameters = w * weights_of(model).vectors
    offloads = offload_optimizer != "none"
    casts = BYTES[optimizer_states] != w
    gradients = Gradients(
        weights, model.layers, w, stage, world, bucket_bytes, accumulates, offloads, casts, optimizer
    )
    whole = Gathered(0, ((model.layers - 1, 0),), ((0, 0), (model.layers - 1, 0)))
    if stage == 3:
        whole = gathered_elements(
            model, bucket_bytes // w, checkpointing != "none", loss_chunks, world, expert_degree
        )

    def moment(
        name: str,
        saved: Size = NOTHING,
        working: Size = NOTHING,
        loss: Size = NOTHING,
        made: float = 0,
        gathered: float = 0,
        buckets: float = 0,
        step: float = 0,
    ) -> Moment:
        fixed = (parameters, states.gradients + made, states.optimizer, w * gathered, buckets, step)
        growing = saved.plus(working).plus(loss)
        return Moment(name, fixed, (saved, working, loss), growing._replace(fixed=growing.fixed + sum(fixed)))

    kept = layer_kept(model, precision, attention, checkpointing, compiled)
    saved = _saved(model, precision, attention, checkpointing, compiled)
    chunks = 2 if loss_chunks > 1 else 1  # the gradient so far, and that of one more chunk
    head = Size(chunks * w * weights.head, token=w * (model.hidden_size + model.vocab_size / loss_chunks))
    moments = [
        moment(
            "loss",
            saved,
            loss=logits(model, loss_chunks),
            made=gradients.before + (w * weights.head if loss_chunks > 1 else 0),  # of the chunk before
            gathered=whole.loss,
            buckets=gradients.buckets_before,
        ),
        moment(
            "head",
            saved,
            loss=head,
            made=gradients.before,
            gathered=whole.loss,
            buckets=gradients.buckets_before,
        ),
        moment(
            "head reduced",
            saved,
            made=gradients.with_head,
            gathered=whole.loss,
            buckets=gradients.buckets + gradients.reducing_head,
        ),
        moment(
            "embedding",
            made=gradients.after(model.layers) + w * weights.embedding,
            gathered=whole.layers[-1][1],
            buckets=gradients.buckets + gradients.reducing(model.layers),
        ),
    ]
    outside = outside_layers(model, precision, attention, checkpointing)._replace(token=16)
    for done, gathered in whole.forward:
        moments.append(
            moment(
                "forward",
                kept.times(done).plus(outside),
                layer_forward(model, precision, attention, checkpointing, compiled),
                made=gradients.before,
                gathered=gathered,
                buckets=gradients.buckets_before,
            )
        )
    moments.append(
        moment(
            "final norm",
            kept.times(model.layers).plus(outside),
            # Its input, and five tensors more of its size, all fp32.
            Size(token=24 * model.hidden_size),
            made=gradients.after(0),
            gathered=whole.loss,
            buckets=gradients.buckets,
        )
    )
    for working in layer_working(model, precision, attention, checkpointing, compiled):
        first = gradients.first_reduced
        later = min(first + 1, model.layers - 1)
        for done, gathered in (*whole.layers, (first, whole.layers[0][1]), (later, whole.layers[0][1])):
            moments.append(
                moment(
                    f"layer {model.layers - done}",
                    kept.times(model.layers - done).plus(outside),
                    working.activations,
                    made=gradients.after(done, working.weights) + gradients.fresh(working.weights),
                    gathered=gathered,
                    buckets=gradients.buckets
                    + (gradients.reducing(done, working.weights) if working.weights == 2 else 0),
                )
            )
    if optimizer == "muon":
        moments.append(
            moment(
                "orthogonalization",
                made=gradients.owned,
                buckets=gradients.buckets,
                # The matrix normed and in fp16, its update in fp16 and as wide as gradients.
                step=(4 + 2 * w) * max(weights.layer_matrices),
            )
        )
    moments += [
        moment("reducing", made=gradients.reducing_all, buckets=gradients.buckets),
        moment("norm", made=gradients.owned, step=gradients.norm),
        moment("step", made=gradients.owned, step=gradients.step),
    ]
    return _without_dominated(moments)


def _without_dominated(moments: list[Moment]) -> tuple[Moment, ...]:
    """Return the moments that hold most for some micro-batch and sequence length."""
    kept: list[Moment] = []
    for moment in sorted(moments, key=lambda each: each.sum, reverse=True):
        if not any(all(map(operator.ge, other.sum, moment.sum)) for other in kept):
            kept.append(moment)
    return tuple(kept)
