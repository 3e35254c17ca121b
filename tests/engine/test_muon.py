"""Trainings with Muon for the matrices of layers and AdamW for the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from forge.engine.checkpoint_folder import checkpoint_name, checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.plan.types import Plan
from forge.progress import SilentProgress
from tests.engine.poison import poison
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
    whole = make_run(tmp_path / "whole", plan_for(1, 1))
    train_here(plan_for(1, 1), tokens, whole, place)

    pair = plan_for(2, 2)
    two = make_run(tmp_path / "two", pair)
    _take_over(whole, two, 4)
    _launch(pair, tokens, two)
    assert losses(two) == pytest.approx({step: losses(whole)[step] for step in range(5, 9)}, abs=5e-5)

    # From what two processes wrote, and once more from the same: bit for bit.
    both = make_run(tmp_path / "both", pair)
    _launch(pair, tokens, both)
    again = make_run(tmp_path / "again", pair)
    _take_over(both, again, 4)
    _launch(pair, tokens, again)
    assert weights_sha256(again) == weights_sha256(both)

    one = make_run(tmp_path / "one", plan_for(1, 1))
    _take_over(both, one, 4)
    train_here(plan_for(1, 1), tokens, one, place)
    assert losses(one) == pytest.approx({step: losses(both)[step] for step in range(5, 9)}, abs=5e-5)


def _launch(plan: Plan, tokens: Path, run_dir: Path) -> None:
    run_training(Job(plan, run_dir / "plan.json", tokens, run_dir, run_dir.parent / "out"), SilentProgress())


def _take_over(old: Path, new: Path, step: int) -> None:
    shutil.copytree(old / "checkpoints", new / "checkpoints")
    for later in checkpoint_steps(new / "checkpoints"):
        if later > step:
            shutil.rmtree(new / "checkpoints" / f"step-{later:08d}")


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
