from __future__ import annotations

import pytest
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

from forge.engine.routing import expert_load, measure_routing

TOKENS, EXPERTS, LAYERS, CHOSEN = 40, 8, 3, 2


def _logits(seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(TOKENS, EXPERTS, generator=generator).requires_grad_() for _ in range(LAYERS))


@pytest.mark.parametrize("padded", [0, 13])
def test_the_balance_loss_and_its_gradient_are_those_of_transformers(padded: int) -> None:
    logits = _logits()
    real = torch.arange(TOKENS) < TOKENS - padded
    routing = measure_routing(logits, CHOSEN, real)
    expected = load_balancing_loss_func(logits, EXPERTS, CHOSEN, real.unsqueeze(0))
    assert float(routing.balance.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    found = torch.autograd.grad(routing.balance, logits)
    for mine, theirs in zip(found, torch.autograd.grad(expected, logits), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_z_loss_and_its_gradient_are_those_of_the_formula(dtype: torch.dtype) -> None:
    logits = tuple(layer.detach().to(dtype).requires_grad_() for layer in _logits())
    real = torch.arange(TOKENS) < 30
    routing = measure_routing(logits, CHOSEN, real)
    squares = torch.stack([torch.logsumexp(layer.double(), dim=-1)[:30].square() for layer in logits])
    assert float(routing.z_loss.detach()) == pytest.approx(float(squares.mean().detach()), rel=1e-6)
    found = torch.autograd.grad(routing.z_loss, logits)
    for mine, theirs in zip(found, torch.autograd.grad(squares.mean(), logits), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6)


def test_the_load_sums_to_one_and_names_the_busiest_expert() -> None:
    counts = torch.tensor([[4.0, 4.0, 4.0, 4.0], [10.0, 2.0, 2.0, 2.0]])
    load = expert_load(counts)
    assert load["expert_load"] == [14 / 32, 6 / 32, 6 / 32, 6 / 32]
    assert load["expert_load_max_over_mean"] == 10 / 4
    assert sum(
        expert_load(measure_routing(_logits(), CHOSEN, torch.ones(TOKENS, dtype=torch.bool)).counts)[
            "expert_load"
        ]
    ) == pytest.approx(1.0)


def test_a_dense_model_has_no_load() -> None:
    assert expert_load(None) == {"expert_load": None, "expert_load_max_over_mean": None}
