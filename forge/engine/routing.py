"""Where a mixture's routers send tokens: the losses that keep the experts in even use, and the load of each."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch


class Routing(NamedTuple):
    """What the routers of a micro-batch did with its real tokens: padding is routed and not counted."""

    balance: torch.Tensor
    """Load-balancing loss, a fp32 scalar: experts a token where all experts are in even use, more otherwise."""
    z_loss: torch.Tensor
    """Mean over layers and tokens of the squared logarithm of the softmax's denominator, a fp32 scalar."""
    counts: torch.Tensor
    """Tokens sent to each expert, fp32 [layers, experts]."""


def measure_routing(
    router_logits: tuple[torch.Tensor, ...], experts_per_token: int, real: torch.Tensor
) -> Routing:
    """Return losses and loads of one micro-batch.

    The balance loss is that of Fedus et al. 2021 (eq. 4 to 6) over the tokens of all layers together, as transformers
    computes it; the z-loss that of Zoph et al. 2022 (ST-MoE, eq. 5).

    Args:
        router_logits: of each layer, [tokens, experts], with their graph.
        experts_per_token: experts that each token is sent to.
        real: which tokens are no padding, bool [tokens].
    """
    weights = real.float()
    probabilities = torch.zeros((), device=weights.device)
    squares = torch.zeros((), device=weights.device)
    counts = []
    for logits in router_logits:
        # In the precision of the logits, of which a layer keeps one copy for the backward pass.
        shares = torch.nn.functional.softmax(logits, dim=-1).float()
        probabilities = probabilities + (shares * weights.unsqueeze(-1)).sum(dim=0)
        squares = squares + _SquaredLogSum.apply(logits, weights)  # type: ignore[no-untyped-call]
        chosen = logits.detach().topk(experts_per_token, dim=-1).indices
        sent = torch.zeros_like(logits, dtype=torch.float32).scatter_(-1, chosen, 1.0)
        counts.append(weights @ sent)
    count = torch.stack(counts)
    rows = weights.sum().clamp(min=1.0) * len(router_logits)
    balance = count.shape[1] * torch.dot(count.sum(dim=0) / rows, probabilities / rows)
    return Routing(balance, squares / rows, count)


class _SquaredLogSum(torch.autograd.Function):
    """Sum over tokens of their squared log-sum-exp, in fp32, keeping no copy of the logits in fp32."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        log_sums = torch.logsumexp(logits.float(), dim=-1)
        ctx.save_for_backward(logits, weights, log_sums)
        return (weights * log_sums.square()).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, weights, log_sums = ctx.saved_tensors
        shares = (logits.float() - log_sums.unsqueeze(-1)).exp_()
        shares *= (2 * gradients[0] * weights * log_sums).unsqueeze(-1)
        return shares.to(logits.dtype), None


def expert_load(counts: torch.Tensor | None) -> dict[str, Any]:
    """Return the fields of a `step` event that say how evenly experts are used; null for a dense model.

    `expert_load` is the share of all tokens that each expert was sent, all layers together: it sums to 1.
    `expert_load_max_over_mean` is the most that an expert of any layer was sent, over the mean of its layer: 1 where
    use is even, the number of experts where one gets all first choices and tokens have one expert.
    """
    if counts is None:
        return {"expert_load": None, "expert_load_max_over_mean": None}
    counts = counts.double()
    shares = counts / counts.sum(dim=-1, keepdim=True).clamp(min=1.0)
    return {
        "expert_load": (counts.sum(dim=0) / counts.sum().clamp(min=1.0)).tolist(),
        "expert_load_max_over_mean": float(shares.max()) * counts.shape[1],
    }
