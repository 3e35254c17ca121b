from __future__ import annotations

import pytest
import torch

from forge.data.loading import IGNORED
from forge.engine.cross_entropy import cross_entropy_sums


def _case(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = (4 * torch.randn(2, 9, 50, generator=generator)).to(dtype).requires_grad_()
    targets = torch.randint(50, (2, 9), generator=generator)
    targets[0, 4:] = IGNORED
    return logits, targets


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradient_are_those_of_the_formula(dtype: torch.dtype) -> None:
    logits, targets = _case(dtype)
    total, entropy = cross_entropy_sums(logits, targets, 0.3)
    (found,) = torch.autograd.grad(5 * total, logits)
    flat = logits.flatten(0, 1).double()
    expected_entropy = torch.nn.functional.cross_entropy(
        flat, targets.flatten(), reduction="sum", ignore_index=IGNORED
    )
    squares = torch.logsumexp(flat, dim=-1)[targets.flatten() != IGNORED].square().sum()
    expected = expected_entropy + 0.3 * squares
    (gradient,) = torch.autograd.grad(5 * expected, logits)
    assert float(entropy) == pytest.approx(float(expected_entropy.detach()), rel=1e-6)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert found.dtype == dtype
    torch.testing.assert_close(found, gradient, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_without_a_z_loss_both_sums_are_the_cross_entropy() -> None:
    logits, targets = _case(torch.float32)
    total, entropy = cross_entropy_sums(logits, targets, 0.0)
    with_it, same = cross_entropy_sums(logits, targets, 1e-30)
    assert total is entropy
    torch.testing.assert_close(total, same)
    torch.testing.assert_close(total, with_it)
