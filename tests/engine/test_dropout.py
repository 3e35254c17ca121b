"""Dropout of adapters: a function of step, sequence and layer, the same on any process at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from forge.engine.distributed import Place
from forge.engine.dropout import SampleDropout, dropped_product
from forge.engine.sequence_parallel import SequenceGroup
from forge.plan.types import Plan
from tests.engine.runs import losses, make_run, train_here, train_in_two, weights_sha256
from tests.factories import tiny_plan

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def plan_of(rate: float, **layout: Any) -> Plan:
    adapters = {"lora_rank": 4, "lora_alpha": 64.0, "lora_target_modules": ALL, "lora_dropout": rate}
    return tiny_plan(
        model=adapters, layout=layout, schedule={"learning_rate": 2e-2, "evaluate_every_steps": 3}
    )


def kept(dropout: SampleDropout, step: int, positions: range, name: str = "a") -> torch.Tensor:
    dropout.begin(step, positions, None)
    return dropout.kept(torch.empty(len(positions), 50, 40), name)


def test_what_is_dropped_follows_from_seed_step_sequence_and_layer_alone() -> None:
    dropout = SampleDropout(0.25, seed=1)
    whole = kept(dropout, 3, range(4))
    assert set(whole.flatten().tolist()) == {0.0, 1.0}
    assert float(whole.mean()) == pytest.approx(0.75, abs=0.02)
    assert torch.equal(kept(dropout, 3, range(2, 4)), whole[2:])
    assert torch.equal(kept(SampleDropout(0.25, seed=1), 3, range(4)), whole)
    torch.manual_seed(0)
    assert torch.equal(kept(dropout, 3, range(4)), whole)
    others = [
        kept(dropout, 4, range(4)),
        kept(dropout, 3, range(4, 8)),
        kept(dropout, 3, range(4), "b"),
        kept(SampleDropout(0.25, seed=2), 3, range(4)),
    ]
    assert all(float((other == whole).float().mean()) < 0.7 for other in others)
    assert float((whole[0] == whole[1]).float().mean()) < 0.7


def test_a_rank_that_shares_sequences_drops_its_part_of_what_one_would() -> None:
    dropout = SampleDropout(0.5, seed=1)
    whole = kept(dropout, 1, range(3))
    for place in range(2):
        dropout.begin(1, range(3), SequenceGroup(None, 2, place))
        part = dropout.kept(torch.empty(3, 25, 40), "a")
        assert torch.equal(part, whole[:, 25 * place : 25 * (place + 1)])


def test_the_product_and_its_gradients_are_those_of_the_formula() -> None:
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 8, generator=source, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 8, generator=source, dtype=torch.float64, requires_grad=True)
    dropout = SampleDropout(0.5, seed=1)
    dropout.begin(1, range(2), None)
    by_hand = (x * dropout.kept(x, "a")) @ weight.T
    out = dropped_product(x, weight, dropout, "a")
    assert torch.equal(out, by_hand)
    push = torch.randn(2, 5, 3, generator=source, dtype=torch.float64)
    for found, wanted in zip(
        torch.autograd.grad(out, (x, weight), push),
        torch.autograd.grad(by_hand, (x, weight), push),
        strict=True,
    ):
        assert torch.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(("stage", "checkpointing"), [(1, "none"), (3, "full")])
def test_it_resumes_bit_for_bit_and_is_the_same_however_a_batch_is_cut(
    stage: int, checkpointing: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = plan_of(0.3, zero_stage=stage, activation_checkpointing=checkpointing)
    whole, halves = make_run(tmp_path / "whole", plan), make_run(tmp_path / "halves", plan)
    train_here(plan, tokens, whole, place)
    train_in_two(plan, tokens, halves, place)
    assert (losses(halves), weights_sha256(halves)) == (losses(whole), weights_sha256(whole))
    config = json.loads((tmp_path / "whole" / "out" / "adapter" / "adapter_config.json").read_text())
    assert config["lora_dropout"] == 0.3

    cut = plan_of(0.3, micro_batch_sequences=1, gradient_accumulation_steps=4)
    cut_run = make_run(tmp_path / "cut", cut)
    train_here(cut, tokens, cut_run, place)
    assert list(losses(cut_run).values()) == pytest.approx(list(losses(whole).values()), abs=5e-6)
    plain = make_run(tmp_path / "plain", plan_of(0.0))
    train_here(plan_of(0.0), tokens, plain, place)
    assert losses(plain)[1] == pytest.approx(losses(whole)[1], abs=5e-6)  # adapters change nothing at first
    assert abs(losses(plain)[6] - losses(whole)[6]) > 1e-4
