"""Dropout that is a function of the step, the sequence and the place in the network: whoever computes it, and whenever.

So a resumed training draws what an undisturbed one draws, any number of processes draws the same, and what activation
checkpointing computes again is what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from forge.engine.sequence_parallel import SequenceGroup


@dataclass(slots=True)
class SampleDropout:
    """What the layers of one network share: which sequences they compute at present."""

    rate: float
    seed: int
    _step: int = 0
    _positions: Sequence[int] = field(default=())
    _group: SequenceGroup | None = None

    def begin(self, step: int, positions: Sequence[int], group: SequenceGroup | None) -> None:
        """Say of which step the next micro-batch is, and which sequences of its global batch are in its rows."""
        self._step, self._positions, self._group = step, positions, group

    def kept(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Return 1 where an element of `x`, [rows, length, width], is kept, and 0 where it is dropped.

        Args:
            x: the input of a layer; where ranks share sequences, of this one's part of them.
            name: of the layer.
        """
        rows, length, width = x.shape
        assert rows == len(self._positions), "the step of these rows was not told"
        degree = 1 if self._group is None else self._group.degree
        kept = torch.empty(rows, degree * length, width, dtype=x.dtype, device=x.device)
        for row, position in zip(kept, self._positions, strict=True):
            digest = hashlib.sha256(f"dropout:{self.seed}:{name}:{self._step}:{position}".encode()).digest()
            generator = torch.Generator(x.device).manual_seed(int.from_bytes(digest[:8]) >> 1)
            row.bernoulli_(1 - self.rate, generator=generator)
        return kept if self._group is None else self._group.part(kept)


def dropped_product(x: torch.Tensor, weight: torch.Tensor, dropout: SampleDropout, name: str) -> torch.Tensor:
    """Return the product of what is kept of `x` with the transpose of `weight`, not yet divided by the share kept.

    It keeps `x` for the backward pass, as a plain product does, and draws again what was dropped.
    """
    out: torch.Tensor = _DroppedProduct.apply(x, weight, dropout, name)  # type: ignore[no-untyped-call]
    return out


class _DroppedProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, dropout: SampleDropout, name: str
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dropout, ctx.name = dropout, name
        return torch.nn.functional.linear(x * dropout.kept(x, name), weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        kept = ctx.dropout.kept(x, ctx.name)
        of_x = (gradient @ weight) * kept if ctx.needs_input_grad[0] else None
        return of_x, gradient.flatten(0, -2).T @ (x * kept).flatten(0, -2), None, None
