"""Sequences shared by several ranks: each computes a part of every sequence, and in attention a part of the heads.

Before attention every rank sends the others their heads of its part of the sequence, and after it their parts of the
sequence of its heads: DeepSpeed Ulysses (Jacobs 2023). To DeepSpeed itself each rank is one of the data-parallel ones,
so that ZeRO shards over all of them; what its mean over ranks divides by is made up for in the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class SequenceGroup:
    """The ranks that share sequences, and where this one stands among them."""

    ranks: Any
    """Their process group."""
    degree: int
    place: int

    def part(self, whole: torch.Tensor) -> torch.Tensor:
        """Return this rank's part of sequences, [rows, length] to [rows, length / degree]."""
        return whole.chunk(self.degree, dim=1)[self.place].contiguous()


def join_sequence_group(degree: int, rank: int, world_size: int) -> SequenceGroup | None:
    """Return the group of `rank`, of `degree` ranks next to each other; None for a degree of 1. All ranks call it."""
    if degree == 1:
        return None
    groups = [
        torch.distributed.new_group(range(first, first + degree)) for first in range(0, world_size, degree)
    ]
    return SequenceGroup(groups[rank // degree], degree, rank % degree)


def exchange(tensor: torch.Tensor, group: SequenceGroup, scattered: int, gathered: int) -> torch.Tensor:
    """Return `tensor` with dimension `scattered` shared out among the ranks of `group`, and `gathered` put together.

    All of them call it; its gradient is the same, the other way round.
    """
    out: torch.Tensor = _Exchange.apply(tensor, group, scattered, gathered)  # type: ignore[no-untyped-call]
    return out


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tensor: torch.Tensor, group: SequenceGroup, scattered: int, gathered: int
    ) -> torch.Tensor:
        ctx.group, ctx.scattered, ctx.gathered = group, scattered, gathered
        return _all_to_all(tensor, group, scattered, gathered)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        return _all_to_all(gradient, ctx.group, ctx.gathered, ctx.scattered), None, None, None


def _all_to_all(tensor: torch.Tensor, group: SequenceGroup, scattered: int, gathered: int) -> torch.Tensor:
    sent = torch.stack(tensor.chunk(group.degree, dim=scattered)).contiguous()
    received = torch.empty_like(sent)
    torch.distributed.all_to_all_single(received, sent, group=group.ranks)
    return torch.cat(received.unbind(), dim=gathered)
