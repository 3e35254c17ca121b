"""Ways to share a training among two processes: the losses are those of one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from forge.engine.distributed import Place
from forge.plan.types import Plan
from tests.engine.chats import write_chats
from tests.engine.ranks import train_in_ranks
from tests.engine.runs import events_of, losses, make_run, train_here, weights_sha256
from tests.factories import tiny_plan

# The order of additions is all that differs, nats a token.
FP32_BOUND = 5e-6

PAIR = {"processes_per_node": 2}
SHARED = PAIR | {"sequence_parallel_degree": 2}
HPZ = PAIR | {"micro_batch_sequences": 2, "zero_stage": 3, "hpz_partition_size": 2}
LEAN = {"zero_stage": 3, "activation_checkpointing": "full", "loss_chunks": 2}
MOE = {"family": "mixtral", "experts": 4, "experts_per_token": 2, "router_z_loss_coef": 0.01}
SFT = {"task": "sft"}

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # name: (changes of the layout, of the model, of the schedule)
    "sequences": (SHARED, {}, {"evaluate_every_steps": 2, "evaluate_tokens": 200, "z_loss": 1e-3}),
    "sequences, lean, sft": (SHARED | LEAN, {}, SFT),
    "hpz": (HPZ, {}, {}),
    "sft": (PAIR | {"micro_batch_sequences": 1, "gradient_accumulation_steps": 2} | LEAN, {}, SFT),
    "experts": (PAIR | {"micro_batch_sequences": 2, "zero_stage": 3}, MOE, {}),
}
ALONE = {
    # What one process computes at once: experts are balanced over a micro-batch.
    "experts": {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2},
}


def plan_of(layout: Mapping[str, Any], model: Mapping[str, Any], schedule: Mapping[str, Any]) -> Plan:
    schedule = {"steps": 4, "global_batch_sequences": 4} | dict(schedule)
    plan = tiny_plan(layout=layout, model=model, schedule=schedule)
    # As forge.plan.lowering has it.
    config: dict[str, Any] = {"train_batch_size": 4 * plan.layout.sequence_parallel_degree}
    if plan.layout.hpz_partition_size > 1:
        zero = plan.deepspeed["zero_optimization"]
        config["zero_optimization"] = zero | {"zero_hpz_partition_size": plan.layout.hpz_partition_size}
    return tiny_plan(layout=layout, model=model, schedule=schedule, deepspeed=config)


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chats(tmp_path_factory.mktemp("chats"))


@pytest.fixture(scope="module")
def in_pairs(tmp_path_factory: pytest.TempPathFactory, tokens: Path, chats: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    runs: dict[str, Path] = {}
    plans: dict[Path, tuple[Plan, Path]] = {}
    for name, (layout, model, schedule) in WAYS.items():
        plan = plan_of(layout, model, schedule)
        runs[name] = make_run(folder / name, plan)
        plans[runs[name]] = (plan, chats if "sft" in name else tokens)
    train_in_ranks(plans, 2)
    return runs


@pytest.mark.parametrize("name", WAYS)
def test_two_processes_train_as_one(
    name: str, in_pairs: dict[str, Path], tokens: Path, chats: Path, place: Place, tmp_path: Path
) -> None:
    _, model, schedule = WAYS[name]
    alone = plan_of(ALONE.get(name, {}), model, schedule)
    run_dir = make_run(tmp_path, alone)
    train_here(alone, chats if "sft" in name else tokens, run_dir, place)
    pair = in_pairs[name]
    assert list(losses(pair)) == list(losses(run_dir))
    for kind, key in (
        ("step", "loss"),
        ("step", "gradient_norm"),
        ("evaluation", "held_out_loss"),
        ("step", "expert_load_max_over_mean"),
    ):
        found, expected = ([event[key] for event in events_of(run, kind)] for run in (pair, run_dir))
        assert found == pytest.approx(expected, abs=FP32_BOUND), key
    assert losses(pair)[4] < losses(pair)[1]


@pytest.mark.soak
def test_hpz_resumes_with_a_second_copy_of_the_weights_that_were_saved(
    in_pairs: dict[str, Path], tokens: Path, tmp_path: Path
) -> None:
    plan, whole = plan_of(*WAYS["hpz"]), in_pairs["hpz"]
    half = make_run(tmp_path, plan)
    shutil.copytree(whole / "checkpoints" / "step-00000003", half / "checkpoints" / "step-00000003")
    train_in_ranks({half: (plan, tokens)}, 2)
    assert [start["resumed_from"] for start in events_of(half, "train_start")] == [3]
    assert losses(half) == {step: loss for step, loss in losses(whole).items() if step > 3}
    assert weights_sha256(half) == weights_sha256(whole)
