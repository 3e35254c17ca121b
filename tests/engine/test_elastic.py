"""A checkpoint goes on under another ZeRO stage and another number of processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from forge.engine.checkpoint_folder import checkpoint_name, checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.engine.worker import build_engine
from forge.plan.types import Plan
from forge.progress import SilentProgress
from tests.engine.poison import stop_after
from tests.engine.ranks import train_in_ranks
from tests.engine.runs import events_of, losses, make_run, train_here
from tests.factories import tiny_plan

# The order of additions is all that differs: nats a token, over the steps after the change.
FP32_BOUND, BF16_BOUND = 5e-6, 4e-3

STEPS, CHANGE, HALF = 12, 6, 3


def plan_for(
    processes: int, zero_stage: int, precision: str = "fp32", every: int = CHANGE, states: str = "fp32"
) -> Plan:
    layout = {
        "processes_per_node": processes,
        "micro_batch_sequences": 4 // processes,
        "zero_stage": zero_stage,
        "precision": precision,
        "optimizer_states": states,
    }
    return tiny_plan(layout=layout, schedule={"steps": STEPS, "checkpoint_every_steps": every})


def take_over(old: Path, new: Path, step: int) -> None:
    """Give the run `new` the checkpoints of `old` up to `step`."""
    shutil.copytree(old / "checkpoints", new / "checkpoints")
    for later in checkpoint_steps(new / "checkpoints"):
        if later > step:
            shutil.rmtree(new / "checkpoints" / f"step-{later:08d}")
    assert checkpoint_steps(new / "checkpoints") == [step]


def launch(plan: Plan, tokens: Path, run_dir: Path) -> None:
    run_training(Job(plan, run_dir / "plan.json", tokens, run_dir, run_dir.parent / "out"), SilentProgress())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tokens: Path, place: Place) -> Path:
    """An undisturbed training on one process at stage 1, with checkpoints of steps 6 and 12."""
    run_dir = make_run(tmp_path_factory.mktemp("whole"), plan_for(1, 1))
    train_here(plan_for(1, 1), tokens, run_dir, place)
    return run_dir


def check_goes_on(run_dir: Path, whole: Path, bound: float = FP32_BOUND, step: int = CHANGE) -> None:
    assert [start["resumed_from"] for start in events_of(run_dir, "train_start")] == [step]
    assert not events_of(run_dir, "note")
    after = range(step + 1, STEPS + 1)
    assert [losses(run_dir)[s] for s in after] == pytest.approx([losses(whole)[s] for s in after], abs=bound)


@pytest.mark.parametrize("after", [0, 1, 2, 3])
@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_any_stage_goes_on_at_any_other(
    before: int,
    after: int,
    tmp_path: Path,
    tokens: Path,
    place: Place,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = make_run(tmp_path / "old", plan_for(1, before))
    with monkeypatch.context() as patch:
        stop_after(patch, old, CHANGE)
        train_here(plan_for(1, before), tokens, old, place)
    new = make_run(tmp_path / "new", plan_for(1, after))
    take_over(old, new, CHANGE)
    train_here(plan_for(1, after), tokens, new, place)
    check_goes_on(new, whole)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2)])
def test_stages_change_in_bf16_too(
    before: int, after: int, tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make_run(tmp_path / "straight", plan_for(1, before, "bf16"))
    train_here(plan_for(1, before, "bf16"), tokens, straight, place)
    new = make_run(tmp_path / "new", plan_for(1, after, "bf16"))
    take_over(straight, new, CHANGE)
    train_here(plan_for(1, after, "bf16"), tokens, new, place)
    check_goes_on(new, straight, BF16_BOUND)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (3, 3), (1, 3), (3, 1)])
def test_states_in_bf16_go_on_where_they_were(
    before: int, after: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    first, second = (plan_for(1, stage, "bf16", states="bf16") for stage in (before, after))
    straight = make_run(tmp_path / "straight", first)
    train_here(first, tokens, straight, place)
    new = make_run(tmp_path / "new", second)
    take_over(straight, new, CHANGE)
    train_here(second, tokens, new, place)
    check_goes_on(new, straight, 0.0 if before == after else BF16_BOUND)
    master = build_engine(second).optimizer
    flat = master.fp32_partitioned_groups_flat if after == 3 else master.single_partition_of_fp32_groups
    assert {part.dtype for part in flat} == {torch.bfloat16}


PAIR = {stage: plan_for(2, stage, every=HALF) for stage in (1, 3)}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, tokens: Path, whole: Path) -> dict[int, Path]:
    """What two processes made of the checkpoint of one, by their stage."""
    runs = {
        stage: make_run(tmp_path_factory.mktemp("pairs") / str(stage), plan) for stage, plan in PAIR.items()
    }
    checkpoint = whole / "checkpoints" / checkpoint_name(CHANGE)
    train_in_ranks(
        {runs[stage]: (plan, tokens) for stage, plan in PAIR.items()},
        2,
        dict.fromkeys(runs.values(), checkpoint),
    )
    return runs


@pytest.mark.parametrize("stage", PAIR)
def test_one_process_becomes_two_and_two_become_one(
    stage: int, tmp_path: Path, tokens: Path, place: Place, whole: Path, pairs: dict[int, Path]
) -> None:
    two = pairs[stage]
    check_goes_on(two, whole)

    one = make_run(tmp_path / "one", plan_for(1, 1))
    take_over(two, one, CHANGE + HALF)
    train_here(plan_for(1, 1), tokens, one, place)
    check_goes_on(one, whole, step=CHANGE + HALF)


@pytest.mark.soak
def test_four_processes_become_two(tmp_path: Path, tokens: Path, whole: Path) -> None:
    four = make_run(tmp_path / "four", plan_for(4, 3))
    launch(plan_for(4, 3), tokens, four)
    assert list(losses(four).values()) == pytest.approx(list(losses(whole).values()), abs=FP32_BOUND)
    two = make_run(tmp_path / "two", plan_for(2, 2))
    take_over(four, two, CHANGE)
    launch(plan_for(2, 2), tokens, two)
    check_goes_on(two, whole)
