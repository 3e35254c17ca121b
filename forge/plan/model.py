"""Arithmetic of a transformer: parameters and floating-point operations, from its shape alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from forge.plan.types import ModelPlan


def plan_model(spec: dict[str, Any], vocab_size: int, sequence_length: int) -> ModelPlan:
    """Return the model of a spec with its parameters counted.

    Args:
        spec: the values of group `model`, valid by schema and rules.
        vocab_size: entries of the tokenizer.
        sequence_length: tokens; also the longest context the model will have.
    """
    head_dim = spec["head_dim"] or spec["hidden_size"] // spec["attention_heads"]
    shape = {key: value for key, value in spec.items() if key not in ("head_dim", "init_from")}
    model = ModelPlan(
        **shape,
        head_dim=head_dim,
        vocab_size=vocab_size,
        max_sequence_length=sequence_length,
        parameters=0,
        active_parameters=0,
    )
    total, active = _parameters(model)
    return replace(model, parameters=total, active_parameters=active)


def _parameters(model: ModelPlan) -> tuple[int, int]:
    """Return (all, active a token): embeddings, attention projections, SwiGLU, router, norms and biases."""
    hidden = model.hidden_size
    attention = 2 * hidden * model.query_width + 2 * hidden * model.kv_width + model.attention_vectors
    feed_forward = 3 * hidden * model.intermediate_size
    shared = attention + 2 * hidden + hidden * model.experts
    experts, active_experts = max(model.experts, 1), max(model.experts_per_token, 1)
    outside = model.vocab_size * hidden * (1 if model.tied_embeddings else 2) + hidden
    total = outside + model.layers * (shared + experts * feed_forward)
    active = outside + model.layers * (shared + active_experts * feed_forward)
    return total, active


def matmul_flops_per_token(model: ModelPlan) -> float:
    """Return FLOPs of a forward and backward pass for one token, attention scores left out: 6 N (Kaplan 2020, §2.1).

    N counts the active weights of matrix products: the output layer, not the input embedding's look-up. Where they are
    frozen their gradients are not taken, which leaves 4 N, and 6 for each weight of an adapter.
    """
    look_up_only = 0 if model.tied_embeddings else model.vocab_size * model.hidden_size
    products = model.active_parameters - look_up_only
    return 4.0 * products + 6.0 * model.adapter_parameters if model.lora_rank else 6.0 * products


def attention_flops_per_token(model: ModelPlan, sequence_length: int) -> float:
    """Return FLOPs of attention scores and values for one token, forward and backward, over the whole square.

    12 L q s (Chowdhery 2022, appendix B). A causal kernel does half of it.
    """
    return 12.0 * model.layers * model.attention_heads * model.head_dim * sequence_length


def model_flops_per_token(model: ModelPlan, sequence_length: int) -> float:
    """Return the FLOPs a token that MFU counts (Chowdhery 2022): no recompute, full attention."""
    return matmul_flops_per_token(model) + attention_flops_per_token(model, sequence_length)
