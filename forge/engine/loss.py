"""What a micro-batch is trained on: next-token cross-entropy or preferences, and even use of experts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from forge.data.loading import IGNORED
from forge.engine.cross_entropy import cross_entropies, cross_entropy_sums
from forge.engine.documents import Documents
from forge.engine.preference_loss import PairBatch, preference_loss
from forge.engine.routing import measure_routing
from forge.plan.types import ModelPlan


class MicroBatchLoss(NamedTuple):
    """The losses of one micro-batch, fp32 scalars."""

    total: torch.Tensor
    """To differentiate."""
    cross_entropy: torch.Tensor
    """Nats a token, the sum over all targets but those that are IGNORED, divided by how many are learnt; of preferences
    nats a pair, of which answer is preferred. No other term is in it."""
    expert_counts: torch.Tensor | None
    """Tokens sent to each expert, fp32 [layers, experts]; None for a dense model."""
    margins: torch.Tensor | None = None
    """Of preferences: the margin of each pair, fp32 [pairs]."""


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
    pairs: PairBatch | None = None,
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
        pairs: those in the inputs, of which the preferred answers are learnt; None: the targets are. Of pairs there is
            neither `z_loss` nor `learnt_targets`.
    """
    margins: torch.Tensor | None = None
    if pairs is not None:
        nats, router_logits = target_nats(network, inputs, targets, model, loss_chunks, documents)
        total, margins = preference_loss(nats, pairs)
        cross_entropy = total.detach()
    elif not computes_its_loss(model, loss_chunks):
        output = network(input_ids=inputs, use_cache=False, **_options(documents))
        sums = cross_entropy_sums(output.logits, targets, z_loss)
        total, cross_entropy = _means(*sums, targets, learnt_targets)
        router_logits = ()
    else:
        total, cross_entropy, router_logits = network(
            input_ids=inputs,
            targets=targets,
            z_loss=z_loss,
            learnt_targets=learnt_targets,
            **_options(documents),
        )
    if not model.experts:
        return MicroBatchLoss(total, cross_entropy, None, margins)
    real = inputs.flatten() != network.module.config.pad_token_id
    routing = measure_routing(router_logits, model.experts_per_token, real)
    total = total + model.router_aux_loss_coef * routing.balance
    if model.router_z_loss_coef:
        total = total + model.router_z_loss_coef * routing.z_loss
    return MicroBatchLoss(total, cross_entropy, routing.counts, margins)


def target_nats(
    network: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    model: ModelPlan,
    loss_chunks: int,
    documents: Documents | None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Return the cross-entropy of each target, fp32 [rows, length], 0 where it is IGNORED, and what routers say.

    Arguments are those of `micro_batch_loss`; router logits are of each layer, none of a dense model.
    """
    if not computes_its_loss(model, loss_chunks):
        output = network(input_ids=inputs, use_cache=False, **_options(documents))
        return cross_entropies(output.logits, targets), ()
    nats, router_logits = network(input_ids=inputs, targets=targets, each_target=True, **_options(documents))
    return nats, router_logits


def _options(documents: Documents | None) -> dict[str, Any]:
    return {} if documents is None else documents.options()


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
    z_loss: float = 0.0,
    learnt_targets: float | None = None,
    each_target: bool = False,
    **options: Any,
) -> tuple[Any, ...]:
    """Return (mean loss, mean cross-entropy, router logits of each layer, none of a dense model).

    With `each_target` it is (the cross-entropy of each target, router logits).
    """
    has_experts = hasattr(network, "num_experts")
    if has_experts:
        options["output_router_logits"] = True
    output = network.model(input_ids=input_ids, use_cache=False, **options)
    router_logits = output.router_logits if has_experts else ()
    hidden = output.last_hidden_state
    if each_target:
        nats = _of_chunks(network.lm_head, hidden, targets, loss_chunks, cross_entropies)
        return torch.cat(nats).view_as(targets), router_logits
    sums = _of_chunks(
        network.lm_head,
        hidden,
        targets,
        loss_chunks,
        functools.partial(cross_entropy_sums, z_loss=z_loss),
    )
    total, entropy = (functools.reduce(torch.add, some) for some in zip(*sums, strict=True))
    return *_means(total, entropy, targets, learnt_targets), router_logits


def _of_chunks(
    head: Any,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    loss_chunks: int,
    of_logits: Callable[[torch.Tensor, torch.Tensor], Any],
) -> list[Any]:
    """Return `of_logits` of each chunk of tokens and its targets."""
    flat, flat_targets = hidden.flatten(0, 1), targets.flatten()
    if loss_chunks == 1:
        return [of_logits(head(flat), flat_targets)]
    pieces = zip(flat.chunk(loss_chunks), flat_targets.chunk(loss_chunks), strict=True)
    return [
        checkpoint(_chunk, head, some, some_targets, of_logits, use_reentrant=False)
        for some, some_targets in pieces
    ]


def _chunk(
    head: Any,
    hidden: torch.Tensor,
    targets: torch.Tensor,
    of_logits: Callable[[torch.Tensor, torch.Tensor], Any],
) -> Any:
    return of_logits(head(hidden), targets)


def _means(
    total: torch.Tensor, entropy: torch.Tensor, targets: torch.Tensor, learnt_targets: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    learnt = (targets != IGNORED).sum() if learnt_targets is None else learnt_targets
    return total / learnt, entropy.detach() / learnt
