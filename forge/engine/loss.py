"""What a micro-batch is trained on: next-token cross-entropy, and even use of experts."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from forge.data.loading import IGNORED
from forge.engine.documents import Documents


def micro_batch_loss(
    network: Any,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    experts: int,
    loss_chunks: int = 1,
    documents: Documents | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss to differentiate, cross-entropy in nats a token), both fp32 scalars.

    The cross-entropy is taken on fp32 logits, a mean over all targets but those that are IGNORED (padding). With
    `experts` > 0 the loss adds the
    load-balancing term of Fedus et al. 2021 (eq. 4), weighted by the config's `router_aux_loss_coef`; without it a
    router sends everything to few experts. The cross-entropy reported never holds that term. With `loss_chunks` > 1
    the network must be one that `compute_loss_in_chunks` has prepared. With `documents` no token sees another document
    than its own.
    """
    options = documents.options() if documents is not None else {}
    if loss_chunks > 1:
        cross_entropy, balance = network(input_ids=inputs, targets=targets, **options)
    elif experts:
        output = network(input_ids=inputs, use_cache=False, output_router_logits=True, **options)
        cross_entropy, balance = _cross_entropy(output.logits, targets, "mean"), output.aux_loss
    else:
        output = network(input_ids=inputs, use_cache=False, **options)
        cross_entropy = _cross_entropy(output.logits, targets, "mean")
    if not experts:
        return cross_entropy, cross_entropy
    return cross_entropy + network.module.config.router_aux_loss_coef * balance, cross_entropy


def compute_loss_in_chunks(network: Any, loss_chunks: int) -> None:
    """Make `network`, a causal LM, return its loss, with the logits of one chunk of tokens in memory at a time.

    Each chunk's logits are computed again in the backward pass; loss and gradients are those of the whole, up to the
    order of additions. The head runs inside the network's own forward pass, so that ZeRO stage 3 gathers its weights
    as it gathers all others.
    """
    network.forward = functools.partial(_forward_to_loss, network, loss_chunks)


def _forward_to_loss(
    network: Any, loss_chunks: int, input_ids: torch.Tensor, targets: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (mean cross-entropy, load-balancing term): fp32 scalars, the second 0 for a dense model."""
    has_experts = hasattr(network, "num_experts")
    if has_experts:
        options["output_router_logits"] = True
    output = network.model(input_ids=input_ids, use_cache=False, **options)
    hidden, targets = output.last_hidden_state.flatten(0, 1), targets.flatten()
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for some_hidden, some_targets in zip(hidden.chunk(loss_chunks), targets.chunk(loss_chunks), strict=True):
        total = total + checkpoint(
            _chunk_loss, network.lm_head, some_hidden, some_targets, use_reentrant=False
        )
    balance = torch.zeros((), dtype=torch.float32, device=hidden.device)
    if has_experts:
        balance = load_balancing_loss_func(
            output.router_logits, network.num_experts, network.num_experts_per_tok
        )
    return total / (targets != IGNORED).sum(), balance


def _chunk_loss(head: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return _cross_entropy(head(hidden), targets, "sum")


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
    flat = logits.flatten(0, -2).float()
    return torch.nn.functional.cross_entropy(
        flat, targets.flatten(), reduction=reduction, ignore_index=IGNORED
    )
