"""Training in fp16. DeepSpeed 0.19 refuses it on a CPU, which computes it all the same: its word is set aside."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.accelerator import get_accelerator

from forge.engine.distributed import Place
from forge.errors import StageError
from forge.plan.types import Plan
from tests.engine.poison import poison, stop_after
from tests.engine.runs import (
    events_of,
    losses,
    make_run,
    train_here,
    train_to_the_end,
    weights,
    weights_sha256,
)
from tests.factories import tiny_plan

# fp16 rounds to 11 bits: the difference of the losses from those in fp32, nats a token.
FP16_BOUND = 2e-3


@pytest.fixture(autouse=True)
def takes_fp16(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    cpu = type(get_accelerator())
    monkeypatch.setattr(cpu, "is_fp16_supported", lambda _: True)
    monkeypatch.setattr(cpu, "supported_dtypes", lambda _: [torch.float32, torch.bfloat16, torch.float16])


def fp16_plan(zero_stage: int = 1, scaling: dict[str, int] | None = None, **schedule: Any) -> Plan:
    layout = {
        "precision": "fp16",
        "zero_stage": zero_stage,
        "micro_batch_sequences": 2,
        "gradient_accumulation_steps": 2,
    }
    return tiny_plan(
        layout=layout, schedule=schedule, deepspeed={"fp16": {"enabled": True} | (scaling or {}), "bf16": {}}
    )


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_fp16_trains_as_fp32_and_resumes_bit_for_bit_whatever_its_scale_does(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Too large a scale at first, and then one that grows all the time.
    scaling = {"initial_scale_power": 22, "hysteresis": 1, "loss_scale_window": 3}
    plan = fp16_plan(zero_stage, scaling, steps=14)
    whole = make_run(tmp_path / "whole", plan)
    train_here(plan, tokens, whole, place)
    skipped = [event["step"] for event in events_of(whole, "step_skipped")]
    assert skipped[0] == 1
    scales = {event["step"]: event["loss_scale"] for event in events_of(whole, "step")}
    assert any(later == 2 * scale for scale, later in itertools.pairwise(scales.values())), scales
    assert not events_of(whole, "going_back")
    for event in events_of(whole, "step_skipped"):
        assert event["reason"].startswith("the gradient overflowed at a loss scale of ")
    assert losses(whole)[max(scales)] < losses(whole)[min(scales)]
    assert all(weight.dtype == torch.float32 for weight in weights(whole).values())
    for step in (1, 5, 9):
        halves = make_run(tmp_path / f"{step}", plan)
        with monkeypatch.context() as patched:
            stop_after(patched, halves, step)
            train_here(plan, tokens, halves, place)
        train_here(plan, tokens, halves, place)
        assert [start["resumed_from"] for start in events_of(halves, "train_start")] == [None, step]
        assert losses(halves) == losses(whole)
        assert {event["step"]: event["loss_scale"] for event in events_of(halves, "step")} == scales
        assert weights_sha256(halves) == weights_sha256(whole)


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_scale_that_grows_changes_no_step(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    steps = {}
    for name, window in (("grows", 1), ("stays", 1_000)):
        plan = fp16_plan(zero_stage, {"initial_scale_power": 8, "loss_scale_window": window}, steps=8)
        run_dir = make_run(tmp_path / name, plan)
        train_here(plan, tokens, run_dir, place)
        steps[name] = events_of(run_dir, "step")
    assert steps["grows"][-1]["loss_scale"] >= 32 * steps["stays"][-1]["loss_scale"]
    for key in ("loss", "gradient_norm"):
        grows, stays = ([event[key] for event in steps[name]] for name in ("grows", "stays"))
        assert grows == pytest.approx(stays, rel=2e-3)
    fp32 = make_run(tmp_path / "fp32", tiny_plan(schedule={"steps": 8}))
    train_here(tiny_plan(schedule={"steps": 8}), tokens, fp32, place)
    assert [event["loss"] for event in steps["stays"]] == pytest.approx(
        list(losses(fp32).values()), abs=FP16_BOUND
    )


def test_a_loss_that_is_not_finite_is_no_overflow(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fp16_plan(steps=10, checkpoint_every_steps=2)
    run_dir = make_run(tmp_path, plan)
    poison(monkeypatch, {5, 6, 7}, "not finite")
    train_to_the_end(plan, tokens, run_dir, place)
    (back,) = events_of(run_dir, "going_back")
    assert (back["last_step"], back["reason"]) == (7, "loss is nan")
    # What the bad steps did to the scale is undone with them.
    assert {event["loss_scale"] for event in events_of(run_dir, "step")} == {2.0**16}


def test_stage_0_is_refused(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = fp16_plan(0)
    with pytest.raises(StageError, match="fp16 does not train right"):
        train_here(plan, tokens, make_run(tmp_path, plan), place)
