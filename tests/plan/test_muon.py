from __future__ import annotations

import pytest

from forge.plan.muon import muon_parameters, orthogonalization_flops
from forge.plan.states import checkpoint_bytes
from tests.factories import tiny_plan
from tests.plan.specs import compiled


def test_it_trains_the_matrices_of_layers() -> None:
    model = tiny_plan().model
    vectors, embedding = 2 * model.layers * 32 + 32, 256 * 32
    assert muon_parameters(model) == model.parameters - embedding - vectors
    assert checkpoint_bytes(model) == 12 * model.parameters
    assert checkpoint_bytes(model, "muon") == 12 * (embedding + vectors) + 8 * muon_parameters(model)


def test_an_update_costs_by_the_products_it_takes() -> None:
    # One layer: q and o are square, k and v twice, the feed-forward three times [32, 64] or turned.
    model = tiny_plan(model={"layers": 1, "kv_heads": 4}).model
    square, oblong = 30 * 32**3, 28 * 32**3 + 8 * 32**2 * 64
    assert orthogonalization_flops(model) == 4 * square + 3 * oblong


def test_the_plan_counts_one_momentum_and_chooses_a_stage_that_muon_has() -> None:
    base = ("+recipe=legal_7b", "hardware=8xh100", "engine.micro_batch_sequences=1")
    muon = compiled(*base, "train.optimizer=muon", "train.gradient_clip=null")
    adamw = compiled(*base, f"engine.zero_stage={muon.layout.zero_stage}")
    assert muon.layout.zero_stage in (1, 2)
    assert muon.layout.offload_optimizer == "none"
    assert (muon.schedule.optimizer, muon.schedule.gradient_clip) == ("muon", 0.0)
    assert muon.deepspeed["gradient_clipping"] == 0.0
    by_muon = muon_parameters(muon.model)
    assert adamw.estimates.checkpoint_bytes - muon.estimates.checkpoint_bytes == 4 * by_muon
    # bf16 momentum, twice, for two fp32 moments.
    states = [
        next(item.bytes for item in plan.estimates.memory if item.name == "optimizer states")
        for plan in (adamw, muon)
    ]
    assert states[0] - states[1] == pytest.approx(4 * by_muon / 8, rel=0.05)
    orthogonal_s = orthogonalization_flops(muon.model) / 8 / 989e12
    assert muon.estimates.step_time_s > adamw.estimates.step_time_s + orthogonal_s
