"""What a micro-batch is trained on: next-token cross-entropy, and even use of experts."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from forge.data.loading import IGNORED
from forge.engine.cross_entropy import cross_entropy_sums
from forge.engine.documents import Documents
from forge.engine.routing import measure_routing
from forge.plan.types import ModelPlan


class MicroBatchLoss(NamedTuple):
    """The losses of one micro-batch, fp32 scalars."""

    total: torch.Tensor
    """To differentiate."""
    cross_entropy: torch.Tensor
    """Nats a token, the sum over all targets but those that are IGNORED, divided by how many are learnt; no other term
    is in it."""
    expert_counts: torch.Tensor | None
    """Tokens sent to each expert, fp32 [layers, experts]; None for a dense model."""


def computes_its_loss(model: ModelPlan, loss_chunks: int) -> bool:
    """Return whether the network of `model` has to be prepared by `compute_loss_inside`."""
    return loss_chunks > 1 or model.experts > 0


def micro_batch_loss(
    network: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    model: ModelPlan,
    loss_chunks: int = 1,
    documents: Documents | None = None,
    z_loss: float = 0.0,
    learnt_targets: float | None = None,
) -> MicroBatchLoss:
    """Return the losses of a micro-batch, taken on fp32 logits.

    With `z_loss` > 0 the total adds the z-loss of the output layer. For a mixture it adds the load-balancing loss,
    without which a router sends everything to few experts, and the router z-loss, by the model's coefficients, over
    tokens that are no padding. With `documents` no token sees another document than its own. Where
    `computes_its_loss` says so the network must be one that `compute_loss_inside` has prepared.

    Args:
        network: the DeepSpeed engine.
        inputs: int64 [rows, length].
        targets: int64 [rows, length].
        model: what the network is.
        loss_chunks: pieces of the micro-batch whose logits exist at a time.
        documents: those in the inputs.
        z_loss: its coefficient.
        learnt_targets: what to divide sums over targets by; None: how many are learnt here. Where micro-batches differ
            in that, one number for all of a step gives every target the same weight, however the batch is cut.
    """
    options = documents.options() if documents is not None else {}
    if not computes_its_loss(model, loss_chunks):
        output = network(input_ids=inputs, use_cache=False, **options)
        total, cross_entropy = _means(
            *cross_entropy_sums(output.logits, targets, z_loss), targets, learnt_targets
        )
        return MicroBatchLoss(total, cross_entropy, None)
    total, cross_entropy, router_logits = network(
        input_ids=inputs, targets=targets, z_loss=z_loss, learnt_targets=learnt_targets, **options
    )
    if not model.experts:
        return MicroBatchLoss(total, cross_entropy, None)
    real = inputs.flatten() != network.module.config.pad_token_id
    routing = measure_routing(router_logits, model.experts_per_token, real)
    total = total + model.router_aux_loss_coef * routing.balance
    if model.router_z_loss_coef:
        total = total + model.router_z_loss_coef * routing.z_loss
    return MicroBatchLoss(total, cross_entropy, routing.counts)


def compute_loss_inside(network: Any, loss_chunks: int) -> None:
    """Make `network`, a causal LM, return its loss, with the logits of one chunk of tokens in memory at a time.

    Each chunk's logits are computed again in the backward pass, where there are several; loss and gradients are those
    of the whole, up to the order of additions. The head runs inside the network's own forward pass, so that ZeRO stage
    3 gathers its weights as it gathers all others.
    """
    network.forward = functools.partial(_forward_to_loss, network, loss_chunks)


def _forward_to_loss(
    network: Any,
    loss_chunks: int,
    input_ids: torch.Tensor,
    targets: torch.Tensor,
    z_loss: float,
    learnt_targets: float | None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return (mean loss, mean cross-entropy, router logits of each layer, none of a dense model)."""
    has_experts = hasattr(network, "num_experts")
    if has_experts:
        options["output_router_logits"] = True
    output = network.model(input_ids=input_ids, use_cache=False, **options)
    router_logits = output.router_logits if has_experts else ()
    if loss_chunks == 1:
        logits = network.lm_head(output.last_hidden_state)
        means = _means(*cross_entropy_sums(logits, targets, z_loss), targets, learnt_targets)
        return *means, router_logits
    hidden, flat_targets = output.last_hidden_state.flatten(0, 1), targets.flatten()
    total = entropy = torch.zeros((), dtype=torch.float32, device=hidden.device)
    pieces = zip(hidden.chunk(loss_chunks), flat_targets.chunk(loss_chunks), strict=True)
    for some_hidden, some_targets in pieces:
        some_total, some_entropy = checkpoint(
            _chunk_loss, network.lm_head, some_hidden, some_targets, z_loss, use_reentrant=False
        )
        total, entropy = total + some_total, entropy + some_entropy
    return *_means(total, entropy, targets, learnt_targets), router_logits


def _chunk_loss(
    head: Any, hidden: torch.Tensor, targets: torch.Tensor, z_loss: float
) -> tuple[torch.Tensor, torch.Tensor]:
    return cross_entropy_sums(head(hidden), targets, z_loss)


def _means(
    total: torch.Tensor, entropy: torch.Tensor, targets: torch.Tensor, learnt_targets: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    learnt = (targets != IGNORED).sum() if learnt_targets is None else learnt_targets
    return total / learnt, entropy.detach() / learnt
