from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from forge.data.loading import IGNORED
from forge.engine.loss import compute_loss_in_chunks, micro_batch_loss
from forge.engine.model import build_config, build_model
from tests.factories import tiny_plan

FAMILIES: list[dict[str, Any]] = [
    {"family": "llama"},
    {"family": "mistral", "tied_embeddings": False},
    {"family": "mixtral", "experts": 4, "experts_per_token": 2},
    {"family": "qwen2"},
    {"family": "qwen3", "head_dim": 16},
    {"family": "qwen3_moe", "head_dim": 16, "experts": 4, "experts_per_token": 2},
]


class Engine:
    """Calls the network as DeepSpeed's engine does."""

    def __init__(self, network: Any) -> None:
        self.module = network

    def __call__(self, **arguments: Any) -> Any:
        return self.module(**arguments)


def loss_and_gradients(model: dict[str, Any], loss_chunks: int) -> SimpleNamespace:
    shape = tiny_plan(model=model).model
    network = build_model(shape, seed=1)
    if loss_chunks > 1:
        compute_loss_in_chunks(network, loss_chunks)
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(shape.vocab_size, (3, 33), generator=generator)
    loss, cross_entropy = micro_batch_loss(
        Engine(network), tokens[:, :-1], tokens[:, 1:], shape.experts, loss_chunks
    )
    torch.autograd.backward(loss)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return SimpleNamespace(loss=loss.detach(), cross_entropy=cross_entropy.detach(), gradients=gradients)


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("loss_chunks", [2, 5])
def test_the_loss_in_chunks_is_the_loss(model: dict[str, Any], loss_chunks: int) -> None:
    plain, chunked = loss_and_gradients(model, 1), loss_and_gradients(model, loss_chunks)
    assert float(chunked.loss) == pytest.approx(float(plain.loss), abs=1e-6)
    assert float(chunked.cross_entropy) == pytest.approx(float(plain.cross_entropy), abs=1e-6)
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(chunked.gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_loss_of_experts_adds_their_balance() -> None:
    dense, sparse = (loss_and_gradients(model, 1) for model in (FAMILIES[0], FAMILIES[2]))
    assert dense.loss == dense.cross_entropy
    # Fedus et al. 2021: the balance term is at least 1 with top-1 routing and even use; top-2 doubles it.
    # At the start the router is nearly even, so the term is near 2, times its weight in the config.
    weight = build_config(tiny_plan(model=FAMILIES[2]).model).router_aux_loss_coef
    assert float(sparse.loss - sparse.cross_entropy) == pytest.approx(2 * weight, rel=0.2)


@pytest.mark.parametrize("loss_chunks", [1, 3])
def test_padding_is_not_learnt(loss_chunks: int) -> None:
    shape = tiny_plan().model
    network = build_model(shape, seed=1)
    tokens = torch.randint(shape.vocab_size, (1, 21), generator=torch.Generator().manual_seed(2))
    targets = tokens[:, 1:].clone()
    targets[:, 12:] = IGNORED
    # Attention is causal: the loss over the first twelve is that of a sequence that ends there.
    alone, _ = micro_batch_loss(Engine(network), tokens[:, :12], tokens[:, 1:13], shape.experts)
    if loss_chunks > 1:
        compute_loss_in_chunks(network, loss_chunks)
    padded, _ = micro_batch_loss(Engine(network), tokens[:, :-1], targets, shape.experts, loss_chunks)
    assert float(padded) == pytest.approx(float(alone), abs=1e-6)
