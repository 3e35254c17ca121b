"""What one device keeps of a micro-batch: activations saved for the backward pass, logits, working sets.

Counted on transformers' Llama, Mistral, Mixtral and Qwen layers, operation by operation: which tensors autograd
saves, in which precision. `benchmarks/memory.py` measures the same on the real model; Korthikanti 2022, §4 has
the method (its 34h a layer is another implementation's). Letters: h hidden size, q and kv widths of queries and of keys
or values, i feed-forward size, a heads, k experts a token, E experts, V vocabulary.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from forge.plan.types import ModelPlan

WIDTH_BYTES = {"bf16": 2, "fp8": 2, "fp16": 2, "fp32": 4}
"""Bytes of a weight, a gradient and an activation, by the precision of a training."""


class Size(NamedTuple):
    """Bytes as a sum of four terms, so that what depends on the layout is worked out once for all micro-batches."""

    fixed: float = 0.0
    token: float = 0.0
    """Times tokens in the micro-batch."""
    position: float = 0.0
    """Times sequence length."""
    score: float = 0.0
    """Times tokens times sequence length."""

    def plus(self, other: Size) -> Size:
        """Return the sum."""
        return Size(
            self.fixed + other.fixed,
            self.token + other.token,
            self.position + other.position,
            self.score + other.score,
        )

    def times(self, factor: float) -> Size:
        """Return the multiple."""
        return Size(self.fixed * factor, self.token * factor, self.position * factor, self.score * factor)

    def bytes(self, tokens: float, sequence_length: int) -> float:
        """Return the number for one micro-batch on one device."""
        return (
            self.fixed
            + self.token * tokens
            + self.position * sequence_length
            + self.score * tokens * sequence_length
        )


def total(*sizes: Size) -> Size:
    """Return the sum of `sizes`."""
    return functools.reduce(Size.plus, sizes, Size())


@functools.lru_cache(maxsize=1024)
def layer_saved(model: ModelPlan, precision: str, attention: str, compiled: bool = False) -> Size:
    """Return what a layer saves without checkpointing.

    bf16, dense, fused attention: 16h + 4q + 4kv + 8i + 4a + 8 bytes a token. A norm saves its input in fp32, its
    normalised input and its output; attention saves q, k, v, its output and a fp32 number a head; SwiGLU saves four
    of its width. In fp32 nothing is copied to be cast, so a norm saves three tensors there too. Norms of queries and
    keys add 6q + 6kv + 4a + 4 a key-value head: their output is rotated and not kept.

    Compiled (`forge.engine.compiled`; dense, fused attention), bf16: 8h + 4q + 4kv + 6i + 4a + 8. What is cheap to
    compute is computed again: a norm saves its input as it came, its output and one number, SwiGLU its two factors
    and their product. Measured by benchmarks/memory_compiled.py.
    """
    w = WIDTH_BYTES[precision]
    if compiled:
        norms = 2 * (2 * w * model.hidden_size + 4)
        head_norms = 4 * (model.attention_heads + model.kv_heads) + w * (model.query_width + model.kv_width)
        return total(
            Size(token=norms + (head_norms if model.has_qk_norm else 0)),
            _attention_saved(model, w, attention),
            Size(token=3 * w * model.intermediate_size),
        )
    return total(
        Size(token=2 * _norm_saved(model, precision)),
        Size(token=_adapters_saved(model, w)),
        Size(token=_head_norms_saved(model, w)),
        _attention_saved(model, w, attention),
        _feed_forward_saved(model, w),
    )


def _adapters_saved(model: ModelPlan, w: int) -> int:
    """Bytes a token that adapters change: what A makes is kept for B, and what only frozen weights need is not.

    A frozen scale needs no normalised input, and a frozen matrix no input, unless the adapter beside it does.
    """
    if not model.lora_rank:
        return 0
    targets = set(model.lora_target_modules)
    kept = w * model.lora_rank * len(targets) - 2 * w * model.hidden_size
    for group in (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")):
        if not targets & set(group):
            kept -= w * model.hidden_size
    if "down_proj" not in targets and not model.experts:
        kept -= w * model.intermediate_size
    return kept


def _head_norms_saved(model: ModelPlan, w: int) -> int:
    """Bytes a token of the norms of queries and keys: inputs in fp32, normalised inputs, a fp32 number a head."""
    if not model.has_qk_norm:
        return 0
    return (4 + w) * (model.query_width + model.kv_width) + 4 * (model.attention_heads + model.kv_heads)


def _norm_saved(model: ModelPlan, precision: str) -> int:
    """Bytes a token of one RMSNorm: its input in fp32, the normalised input, its output, one fp32 number."""
    return (4 + 2 * WIDTH_BYTES[precision]) * model.hidden_size + 4


def _attention_saved(model: ModelPlan, w: int, attention: str) -> Size:
    query, key_value = model.query_width, model.kv_width
    if attention == "eager":
        # Keys and values are repeated for every query head; the softmax is fp32 and is kept in both precisions.
        probabilities = (6 if w == 2 else 4) * model.attention_heads
        return Size(token=4 * w * query, score=probabilities)
    return Size(token=2 * w * query + 2 * w * key_value + 4 * model.attention_heads)


def _feed_forward_saved(model: ModelPlan, w: int) -> Size:
    wide = 4 * w * model.intermediate_size
    if not model.experts:
        return Size(token=wide)
    # A token's copy for each of its experts, SwiGLU, and the experts' outputs before they are weighted; then the
    # router's indices, permutations and probabilities, and the softmax of the load-balancing loss.
    chosen = model.experts_per_token
    routing = 40 * chosen + (4 + w) * model.experts + 4
    return Size(token=chosen * (2 * w * model.hidden_size + wide) + routing)


@functools.lru_cache(maxsize=1024)
def layer_kept(
    model: ModelPlan, precision: str, attention: str, checkpointing: str, compiled: bool = False
) -> Size:
    """Return what a layer keeps from its forward to its backward pass.

    `full`: its input. `selective`: its input and the outputs of matrix products and fused attention.
    """
    if checkpointing == "none":
        return layer_saved(model, precision, attention, compiled)
    w, h = WIDTH_BYTES[precision], model.hidden_size
    query, key_value = model.query_width, model.kv_width
    balance = w * model.experts  # the router's scores, for the load-balancing loss
    kept = Size(token=w * h + balance)
    if checkpointing == "full":
        return kept
    products = w * (query + 2 * key_value + h)
    if model.experts:
        products += model.experts_per_token * w * (2 * model.intermediate_size + h) + balance
    else:
        products += w * (2 * model.intermediate_size + h)
    fused = 0 if attention == "eager" else w * query + 4 * model.attention_heads
    return kept.plus(Size(token=products + fused))


@functools.lru_cache(maxsize=1024)
def outside_layers(model: ModelPlan, precision: str, attention: str, checkpointing: str) -> Size:
    """Return what is kept besides the layers: final norm, input of the head, rotary tables, token ids."""
    w = WIDTH_BYTES[precision]
    norm = _norm_saved(model, precision)
    if model.lora_rank:
        norm -= 2 * w * model.hidden_size  # neither the final norm's scale nor the head is learnt
    ids = 16
    rotary = 2 * w * model.head_dim
    if checkpointing == "none":
        if model.lora_rank:
            norm -= (
                4 * model.hidden_size + 4
            )  # nothing before the first adapter is learnt: its norm keeps no input
        return Size(token=norm + ids, position=rotary)
    mask = w if attention == "eager" else 0  # held by each layer to be run again
    return Size(token=norm + ids, position=rotary + 8, score=mask)


def logits(model: ModelPlan, loss_chunks: int) -> Size:
    """Return the most the loss holds: three fp32 tensors of the logits' shape, of one chunk at a time."""
    return Size(token=12 * model.vocab_size / loss_chunks)


@functools.lru_cache(maxsize=1024)
def layer_forward(
    model: ModelPlan, precision: str, attention: str, checkpointing: str, compiled: bool = False
) -> Size:
    """Return what a layer holds at most while it runs forward; what it will have kept is part of that.

    With eager attention the scores before and after the cast to fp32, their softmax, and without checkpointing the
    mask (`outside_layers` counts it with); else SwiGLU's four tensors.
    """
    w, h = WIDTH_BYTES[precision], model.hidden_size
    query = model.query_width
    if checkpointing == "none":
        saved = layer_saved(model, precision, attention, compiled)
        if attention != "eager":
            return saved
        rest = Size(token=-_feed_forward_saved(model, w).token, score=4 * model.attention_heads + w)
        return saved.plus(rest)
    if attention == "eager":
        scores = (10 if w == 2 else 8) * model.attention_heads
        return Size(token=w * (2 * h + 3 * query), score=scores)
    return Size(token=2 * w * h).plus(_feed_forward_saved(model, w))


class Working(NamedTuple):
    """A moment of a layer's backward pass: what is alive beyond what the layer kept."""

    activations: Size
    weights: int
    """Matrices of the feed-forward part whose gradients were just made: 0, 1 or 2."""


@functools.lru_cache(maxsize=1024)
def layer_working(
    model: ModelPlan, precision: str, attention: str, checkpointing: str, compiled: bool = False
) -> tuple[Working, ...]:
    """Return the worst moments of a layer's backward pass, with what checkpointing makes it compute again.

    Dense: the gradients of SwiGLU's two factors, and then two weight gradients while the first is reduced. Experts:
    three fp32 tensors of the experts' outputs, and then both weight gradients. Eager attention: the gradients of its
    scores. Compiled: in fp32 one of the two gradients of SwiGLU's factors lies where its product did, and in 16 bits
    there is none of the layer's output (measured by benchmarks/memory_compiled.py).
    """
    w, h, i = WIDTH_BYTES[precision], model.hidden_size, model.intermediate_size
    again = Size()
    if checkpointing != "none":
        again = layer_saved(model, precision, attention, compiled)
        if precision == "fp32":
            again = again.plus(Size(token=-w * h))  # the first norm saves the layer's input itself
    if checkpointing == "selective":
        # What was kept is used, not made again; only the layer's input and last output are in neither set.
        kept = layer_kept(model, precision, attention, checkpointing)
        spare = 2 * w * h if not model.experts else w * h
        again = again.plus(kept.times(-1)).plus(Size(token=spare))
    chosen = model.experts_per_token
    if compiled:
        moments = [
            Working(again.plus(Size(token=w * (h + i) if precision == "fp32" else 2 * w * i)), 1),
            Working(again.plus(Size(token=2 * w * h - w * i)), 2),
        ]
    elif model.experts:
        moments = [
            Working(again.plus(Size(token=w * h + 12 * h * chosen)), 0),
            Working(again.plus(Size(token=w * h + w * i * chosen)), 1),
            Working(again.plus(Size(token=w * h - 2 * w * i * chosen)), 2),
        ]
    else:
        moments = [
            Working(again.plus(Size(token=w * h + 2 * w * i)), 1),
            Working(again.plus(Size(token=2 * w * h - w * i)), 2),
        ]
    if attention == "eager":
        # The softmax's output, the gradient of it and that of its input, fp32, less what was saved of them.
        scores = (6 if w == 2 else 8) * model.attention_heads
        freed = _feed_forward_saved(model, w).token + _norm_saved(model, precision) + w * model.query_width
        moments.append(Working(again.plus(Size(token=2 * w * h - freed, score=scores)), 0))
    return tuple(moments)
