from __future__ import annotations

from typing import Any

import pytest
import torch

from forge.engine.model import build_config, build_model
from forge.engine.optimizer import build_optimizer, set_learning_rate
from tests.factories import tiny_plan

FAMILIES: list[dict[str, Any]] = [
    {"family": "llama"},
    {"family": "mistral", "tied_embeddings": False},
    {"family": "mixtral", "experts": 4, "experts_per_token": 2},
]


@pytest.mark.parametrize("model", FAMILIES)
def test_the_network_has_the_planned_shape(model: dict[str, Any]) -> None:
    plan = tiny_plan(model=model)
    network = build_model(plan.model, seed=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == plan.model.parameters
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network.training
    assert network.config.model_type == plan.model.family
    assert getattr(network.config, "sliding_window", None) is None
    weight = network.model.layers[0].self_attn.q_proj.weight
    assert float(weight.detach().std()) == pytest.approx(plan.model.initializer_std, rel=0.15)


def test_the_seed_decides_the_weights_and_nothing_else_is_disturbed() -> None:
    model = tiny_plan().model
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second, other = build_model(model, seed=1), build_model(model, seed=1), build_model(model, seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_a_token_sees_no_later_one() -> None:
    network = build_model(tiny_plan().model, seed=1).eval()
    ids = torch.arange(3, 23).unsqueeze(0)
    changed = ids.clone()
    changed[0, 12] = 99
    with torch.no_grad():
        difference = (network(input_ids=ids).logits - network(input_ids=changed).logits).abs().amax(dim=-1)[0]
    assert not difference[:12].any()
    assert difference[12:].all()


def test_the_config_names_the_special_tokens() -> None:
    config = build_config(tiny_plan().model)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 1, 2)


def test_matrices_decay_and_vectors_do_not() -> None:
    plan = tiny_plan()
    network = build_model(plan.model, seed=1)
    optimizer = build_optimizer(plan, network)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (plan.schedule.weight_decay, 0.0)
    assert len(spared["params"]) == 2 * plan.model.layers + 1
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
