from __future__ import annotations

import math

import pytest
import torch

from forge.export.compare_models import compare_logits, compare_weights, logits_deviation
from forge.export.mismatch import Mismatch


def holder(*values: float, dtype: torch.dtype = torch.float32, bias: bool = False) -> torch.nn.Linear:
    module = torch.nn.Linear(len(values), 1, bias=bias)
    module.weight.data = torch.tensor([values], dtype=dtype)
    return module


def test_bits_decide_not_values() -> None:
    assert compare_weights(holder(1.0, math.nan), holder(1.0, math.nan)) == 1
    with pytest.raises(Mismatch, match="weight: 1 of 2 values differ"):
        compare_weights(holder(1.0, 0.0), holder(1.0, -0.0))


@pytest.mark.parametrize(
    "other", [holder(1.0), holder(1.0, 2.0, dtype=torch.bfloat16), holder(1.0, 2.0, bias=True)]
)
def test_shape_dtype_and_names_decide(other: torch.nn.Module) -> None:
    with pytest.raises(Mismatch):
        compare_weights(holder(1.0, 2.0), other)


def test_one_bit_of_one_logit_decides() -> None:
    left = [torch.ones(3, 5), torch.ones(2, 5)]
    assert compare_logits(left, [part.clone() for part in left]) == 5
    right = [left[0], left[1].clone()]
    right[1][1, 4] += 2**-23
    with pytest.raises(Mismatch, match=r"sequence 1: differ by up to 1\.19e-07"):
        compare_logits(left, right)


def test_deviation_is_counted_by_hand() -> None:
    greatest, deviation = logits_deviation([torch.tensor([[0.0, 2.0]])], [torch.tensor([[0.5, 2.0]])])
    assert greatest == 0.5
    assert deviation == pytest.approx(0.25 / math.sqrt(2))
