from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from forge.data.loading import IGNORED
from forge.engine.loss import compute_loss_inside, computes_its_loss, micro_batch_loss
from forge.engine.model import build_model
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


def loss_and_gradients(model: dict[str, Any], loss_chunks: int, z_loss: float = 0.0) -> SimpleNamespace:
    shape = tiny_plan(model=model).model
    network = build_model(shape, seed=1)
    if computes_its_loss(shape, loss_chunks):
        compute_loss_inside(network, loss_chunks)
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(shape.vocab_size, (3, 33), generator=generator)
    losses = micro_batch_loss(
        Engine(network), tokens[:, :-1], tokens[:, 1:], shape, loss_chunks, z_loss=z_loss
    )
    torch.autograd.backward(losses.total)
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return SimpleNamespace(
        loss=losses.total.detach(),
        cross_entropy=losses.cross_entropy,
        counts=losses.expert_counts,
        gradients=gradients,
    )


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize(("loss_chunks", "z_loss"), [(2, 0.0), (5, 0.0), (5, 0.01)])
def test_the_loss_in_chunks_is_the_loss(model: dict[str, Any], loss_chunks: int, z_loss: float) -> None:
    plain = loss_and_gradients(model, 1, z_loss)
    chunked = loss_and_gradients(model, loss_chunks, z_loss)
    assert float(chunked.loss) == pytest.approx(float(plain.loss), abs=3e-6)
    assert float(chunked.cross_entropy) == pytest.approx(float(plain.cross_entropy), abs=3e-6)
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(chunked.gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_the_loss_of_experts_adds_their_balance() -> None:
    dense, sparse = (loss_and_gradients(model, 1) for model in (FAMILIES[0], FAMILIES[2]))
    assert dense.loss == dense.cross_entropy
    # Fedus et al. 2021: the balance term is at least 1 with top-1 routing and even use; top-2 doubles it.
    # At the start the router is nearly even, so the term is near 2, times its coefficient.
    assert float(sparse.loss - sparse.cross_entropy) == pytest.approx(2 * 0.01, rel=0.2)
    heavier = loss_and_gradients(FAMILIES[2] | {"router_aux_loss_coef": 0.05}, 1)
    assert float(heavier.loss - heavier.cross_entropy) == pytest.approx(2 * 0.05, rel=0.2)
    assert heavier.cross_entropy == sparse.cross_entropy


def test_the_router_z_loss_is_added_by_its_coefficient() -> None:
    plain = loss_and_gradients(FAMILIES[2], 1)
    more = loss_and_gradients(FAMILIES[2] | {"router_z_loss_coef": 0.5}, 1)
    # Of nearly even routers over four experts: log 4 squared.
    assert float(more.loss - plain.loss) == pytest.approx(0.5 * math.log(4) ** 2, rel=0.1)
    assert more.cross_entropy == plain.cross_entropy


def test_the_z_loss_is_that_of_the_output_layer() -> None:
    plain, more = loss_and_gradients(FAMILIES[0], 1), loss_and_gradients(FAMILIES[0], 1, 0.5)
    assert float(more.cross_entropy) == pytest.approx(float(plain.cross_entropy), abs=3e-6)
    # Of nearly even logits over 256 tokens: log 256 squared.
    assert float(more.loss - plain.loss) == pytest.approx(0.5 * math.log(256) ** 2, rel=0.05)


@pytest.mark.parametrize("model", [FAMILIES[2], FAMILIES[-1]])
@pytest.mark.parametrize("loss_chunks", [1, 3])
def test_every_token_is_counted_once_for_each_of_its_experts(model: dict[str, Any], loss_chunks: int) -> None:
    shape = tiny_plan(model=model).model
    network = build_model(shape, seed=1)
    compute_loss_inside(network, loss_chunks)
    tokens = torch.randint(3, shape.vocab_size, (3, 33), generator=torch.Generator().manual_seed(2))
    tokens[1, 20:] = network.config.pad_token_id
    counts = micro_batch_loss(
        Engine(network), tokens[:, :-1], tokens[:, 1:], shape, loss_chunks
    ).expert_counts
    assert counts is not None
    assert counts.shape == (shape.layers, shape.experts)
    assert counts.sum(dim=-1).tolist() == [2.0 * (3 * 32 - 12)] * shape.layers


@pytest.mark.parametrize("loss_chunks", [1, 3])
@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_padding_is_not_learnt(loss_chunks: int, z_loss: float) -> None:
    shape = tiny_plan().model
    network = build_model(shape, seed=1)
    tokens = torch.randint(shape.vocab_size, (1, 21), generator=torch.Generator().manual_seed(2))
    targets = tokens[:, 1:].clone()
    targets[:, 12:] = IGNORED
    # Attention is causal: the loss over the first twelve is that of a sequence that ends there.
    alone = micro_batch_loss(Engine(network), tokens[:, :12], tokens[:, 1:13], shape, z_loss=z_loss).total
    if loss_chunks > 1:
        compute_loss_inside(network, loss_chunks)
    padded = micro_batch_loss(
        Engine(network), tokens[:, :-1], targets, shape, loss_chunks, z_loss=z_loss
    ).total
    assert float(padded) == pytest.approx(float(alone), abs=1e-6)
