"""What a micro-batch is trained on: next-token cross-entropy, and even use of experts."""

from __future__ import annotations

from typing import Any

import torch


def micro_batch_loss(
    network: Any, inputs: torch.Tensor, targets: torch.Tensor, experts: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (loss to differentiate, cross-entropy in nats a token), both fp32 scalars.

    The cross-entropy is taken on fp32 logits, a mean over all tokens. With `experts` > 0 the loss adds the
    load-balancing term of Fedus et al. 2021 (eq. 4), weighted by the config's `router_aux_loss_coef`; without it a
    router sends everything to few experts. The cross-entropy reported never holds that term.
    """
    if not experts:
        logits = network(input_ids=inputs, use_cache=False).logits
        cross_entropy = _cross_entropy(logits, targets)
        return cross_entropy, cross_entropy
    output = network(input_ids=inputs, use_cache=False, output_router_logits=True)
    cross_entropy = _cross_entropy(output.logits, targets)
    return cross_entropy + network.module.config.router_aux_loss_coef * output.aux_loss, cross_entropy


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
