"""Next-token cross-entropy in fp32, with the z-loss that keeps logits small."""

from __future__ import annotations

from typing import Any

import torch

from forge.data.loading import IGNORED


def cross_entropy_sums(
    logits: torch.Tensor, targets: torch.Tensor, z_loss: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (sum to differentiate, sum of the cross-entropies in nats), fp32 scalars, over targets not IGNORED.

    With `z_loss` > 0 the first adds, for each target, `z_loss` times the square of the logarithm of the softmax's
    denominator (Chowdhery et al. 2022, §5: 1e-4). No more is held for it than without: what it needs is at hand in
    the softmax.

    Args:
        logits: [..., vocabulary].
        targets: int64 [...].
        z_loss: its coefficient.
    """
    flat, flat_targets = logits.flatten(0, -2), targets.flatten()
    if z_loss:
        total, entropy = _WithZLoss.apply(flat, flat_targets, z_loss)  # type: ignore[no-untyped-call]
        return total, entropy
    total = torch.nn.functional.cross_entropy(
        flat.float(), flat_targets, reduction="sum", ignore_index=IGNORED
    )
    return total, total


def cross_entropies(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each target in nats, fp32 like `targets`, 0 where it is IGNORED.

    Args:
        logits: [..., vocabulary].
        targets: int64 [...].
    """
    flat = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), reduction="none", ignore_index=IGNORED
    )
    return flat.view_as(targets)


class _WithZLoss(torch.autograd.Function):
    """Both in one pass over the logits, forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, targets: torch.Tensor, z_loss: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        log_sums = torch.logsumexp(logits.float(), dim=-1)
        learnt = targets != IGNORED
        chosen = logits.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1).float()
        entropy = ((log_sums - chosen) * learnt).sum()
        ctx.save_for_backward(logits, targets, log_sums)
        ctx.z_loss = z_loss
        total = entropy + z_loss * (log_sums.square() * learnt).sum()
        ctx.mark_non_differentiable(entropy)
        return total, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        logits, targets, log_sums = ctx.saved_tensors
        scale = (targets != IGNORED) * gradients[0]
        # d/dx of log-sum-exp is the softmax; its square has 2 log-sum-exp as a further factor.
        found = (logits.float() - log_sums.unsqueeze(-1)).exp_()
        found *= (1 + 2 * ctx.z_loss * log_sums).unsqueeze(-1)
        found.scatter_add_(-1, targets.clamp(min=0).unsqueeze(-1), -torch.ones_like(log_sums).unsqueeze(-1))
        found *= scale.unsqueeze(-1)
        return found.to(logits.dtype), None, None
