"""Two models: the same weights bit for bit, and the same logits."""

from __future__ import annotations

from typing import Any

import torch

from forge.export.mismatch import Mismatch

INTEGER_OF_BYTES = {2: torch.int16, 4: torch.int32}


def compare_weights(trained: Any, exported: Any) -> int:
    """Return how many tensors were compared, all of them equal in every bit.

    Raises:
        Mismatch: names, a shape, a dtype or a bit differ.
    """
    left, right = trained.state_dict(), exported.state_dict()
    if names := sorted(set(left) ^ set(right)):
        raise Mismatch(f"weights: {names[0]} is on one side only")
    for name, tensor in left.items():
        other = right[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            raise Mismatch(
                f"weights: {name} is {other.dtype} {list(other.shape)}, trained {tensor.dtype} {list(tensor.shape)}"
            )
        # As integers: a NaN must equal itself, and 0.0 must not equal -0.0.
        integer = INTEGER_OF_BYTES[tensor.element_size()]
        differing = int((tensor.view(integer) != other.view(integer)).sum())
        if differing:
            raise Mismatch(f"weights: {name}: {differing} of {tensor.numel()} values differ")
    return len(left)


@torch.inference_mode()
def all_logits(model: Any, sequences: list[list[int]]) -> list[torch.Tensor]:
    """Return the logits [length, vocabulary] of each sequence, run alone so that nothing is padded."""
    # A loader may leave weights mapped at any address, and kernels may choose their order of summation by alignment.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return [model(input_ids=torch.tensor([ids]), use_cache=False).logits[0] for ids in sequences]


def compare_logits(trained: list[torch.Tensor], exported: list[torch.Tensor]) -> int:
    """Return at how many positions the logits were compared, all of them equal in every bit.

    Raises:
        Mismatch: some differ.
    """
    for number, (left, right) in enumerate(zip(trained, exported, strict=True)):
        if not torch.equal(left, right):
            difference = float((left.float() - right.float()).abs().max())
            raise Mismatch(
                f"logits: sequence {number}: differ by up to {difference:.3g} although weights agree"
            )
    return sum(len(logits) for logits in trained)


def logits_deviation(trained: list[torch.Tensor], exported: list[torch.Tensor]) -> tuple[float, float]:
    """Return (largest absolute difference, mean absolute difference / standard deviation of the trained logits)."""
    left, right = torch.cat(trained).double(), torch.cat(exported).double()
    difference = (left - right).abs()
    return float(difference.max()), float(difference.mean() / left.std())
