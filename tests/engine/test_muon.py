"""Trainings with Muon for the matrices of layers and AdamW for the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from forge.engine.checkpoint_folder import checkpoint_name
from forge.engine.distributed import Place
from forge.plan.types import Plan
from tests.engine.poison import poison
from tests.engine.ranks import train_in_ranks
from tests.engine.reference import reference_losses
from tests.engine.runs import events_of, losses, make_run, train_here, train_in_two, weights_sha256
from tests.factories import tiny_plan

# Newton-Schulz steps spread what the order of additions differs by.
LOSS_BOUND = {"fp32": 5e-5, "bf16": 5e-3}


def plan_for(
    processes: int, zero_stage: int, precision: str = "fp32", accumulation: int = 1, **pace: int
) -> Plan:
    layout = {
        "processes_per_node": processes,
        "micro_batch_sequences": 4 // processes // accumulation,
        "gradient_accumulation_steps": accumulation,
        "zero_stage": zero_stage,
        "precision": precision,
    }
    schedule: dict[str, Any] = {
        "optimizer": "muon",
        "muon_learning_rate": 0.05,
        "muon_momentum": 0.9,
        "gradient_clip": 0.0,
        "steps": 8,
        "checkpoint_every_steps": 4,
    }
    # Neither two nor three processes' parts end where a matrix does.
    return tiny_plan(model={"layers": 3}, layout=layout, schedule=schedule | pace)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero_stage", [1, 2])
def test_it_trains_as_plain_torch_and_resumes_bit_for_bit(
    zero_stage: int, precision: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = plan_for(1, zero_stage, precision, accumulation=2)
    whole = make_run(tmp_path / "whole", plan)
    train_here(plan, tokens, whole, place)
    assert list(losses(whole).values()) == pytest.approx(
        reference_losses(plan, tokens), abs=LOSS_BOUND[precision]
    )
    assert losses(whole)[8] < losses(whole)[1]

    halves = make_run(tmp_path / "halves", plan)
    train_in_two(plan, tokens, halves, place)
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)


def test_one_process_becomes_two_and_two_become_one(tmp_path: Path, tokens: Path, place: Place) -> None:
    single, pair = plan_for(1, 1), plan_for(2, 2)
    whole = make_run(tmp_path / "whole", single)
    train_here(single, tokens, whole, place)

    two, both, again = (make_run(tmp_path / name, pair) for name in ("two", "both", "again"))
    half = Path("checkpoints") / checkpoint_name(4)
    taken_over = {two: whole / half, again: both / half}
    train_in_ranks({run_dir: (pair, tokens) for run_dir in (two, both, again)}, 2, taken_over)
    assert losses(two) == pytest.approx({step: losses(whole)[step] for step in range(5, 9)}, abs=5e-5)
    # From what two processes wrote, and once more from the same: bit for bit.
    assert list(losses(again)) == list(losses(two))
    assert weights_sha256(again) == weights_sha256(both)

    one = make_run(tmp_path / "one", single)
    shutil.copytree(both / half, one / half)
    train_here(single, tokens, one, place)
    assert losses(one) == pytest.approx({step: losses(both)[step] for step in range(5, 9)}, abs=5e-5)


@pytest.mark.parametrize("zero_stage", [1, 2])
def test_a_step_without_a_finite_gradient_changes_neither_weights_nor_momenta(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(1, zero_stage, checkpoint_every_steps=1, keep_checkpoints=9)
    run_dir = make_run(tmp_path, plan)
    poison(monkeypatch, {3}, "not finite")
    train_here(plan, tokens, run_dir, place)
    assert [event["step"] for event in events_of(run_dir, "step_skipped")] == [3]
    before, after, later = (_stored(run_dir, step) for step in (2, 3, 4))
    assert any(key.endswith("/momentum_buffer") for key in before)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert any(not torch.equal(after[key], later[key]) for key in after if key.endswith("/momentum_buffer"))


def _stored(run_dir: Path, step: int) -> dict[str, torch.Tensor]:
    """Return all that a checkpoint of one process holds."""
    (file,) = (run_dir / "checkpoints" / checkpoint_name(step)).glob("*.safetensors")
    tensors: dict[str, torch.Tensor] = load_file(file)
    return tensors
