"""Ways to share a training among two processes: the losses are those of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from forge.engine.checkpoint_folder import checkpoint_name
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
ADAPTERS = {
    "lora_rank": 4,
    "lora_alpha": 64.0,
    "lora_target_modules": ("q_proj", "o_proj", "down_proj"),
    "lora_dropout": 0.3,
}
SEEN = {"evaluate_every_steps": 2, "evaluate_tokens": 200, "z_loss": 1e-3}

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # name: (changes of the layout, of the model, of the schedule)
    "sequences": (SHARED, {}, SEEN),
    "whole sequences": (PAIR | {"micro_batch_sequences": 2}, {}, SEEN),
    "sequences, lean, sft": (SHARED | LEAN, {}, SFT),
    "hpz": (HPZ, {}, {}),
    "sft": (PAIR | {"micro_batch_sequences": 1, "gradient_accumulation_steps": 2} | LEAN, {}, SFT),
    "adapters": (PAIR | {"micro_batch_sequences": 2}, ADAPTERS, SEEN),
    "sequences, adapters": (SHARED, ADAPTERS, SEEN),
    "experts": (PAIR | {"micro_batch_sequences": 2, "zero_stage": 3}, MOE, {}),
}
CHANGE = 2
GOING_ON = {
    # name: (the run of which it takes the checkpoint, the way in which it goes on)
    "sequences, at the same degree": ("sequences", "sequences"),
    "sequences, no longer shared": ("sequences", "whole sequences"),
    "sequences, from here on shared": ("whole sequences", "sequences"),
}
ALONE = {
    # What one process computes at once: experts are balanced over a micro-batch.
    "experts": {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2},
}


def plan_of(layout: Mapping[str, Any], model: Mapping[str, Any], schedule: Mapping[str, Any]) -> Plan:
    schedule = {"steps": 4, "global_batch_sequences": 4, "checkpoint_every_steps": CHANGE} | dict(schedule)
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
    taken_over: dict[Path, Path] = {}
    for name, (before, after) in GOING_ON.items():
        runs[name] = make_run(folder / name, plan_of(*WAYS[after]))
        plans[runs[name]] = (plan_of(*WAYS[after]), tokens)
        taken_over[runs[name]] = runs[before] / "checkpoints" / checkpoint_name(CHANGE)
    train_in_ranks(plans, 2, taken_over)
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


@pytest.mark.parametrize("name", GOING_ON)
def test_a_checkpoint_goes_on(name: str, in_pairs: dict[str, Path]) -> None:
    before, after = GOING_ON[name]
    run_dir, whole = in_pairs[name], in_pairs[before]
    assert [start["resumed_from"] for start in events_of(run_dir, "train_start")] == [CHANGE]
    assert not events_of(run_dir, "note")
    expected = {step: loss for step, loss in losses(whole).items() if step > CHANGE}
    if before == after:
        assert losses(run_dir) == expected
        assert weights_sha256(run_dir) == weights_sha256(whole)
    else:
        assert losses(run_dir) == pytest.approx(expected, abs=FP32_BOUND)
        assert losses(run_dir) != losses(in_pairs[after])


@pytest.mark.soak
def test_hpz_resumes_with_a_second_copy_of_the_weights_that_were_saved(
    in_pairs: dict[str, Path], tokens: Path, tmp_path: Path
) -> None:
    plan, whole = plan_of(*WAYS["hpz"]), in_pairs["hpz"]
    half = make_run(tmp_path, plan)
    # In processes of their own: DeepSpeed makes hpZ's groups once.
    train_in_ranks({half: (plan, tokens)}, 2, {half: whole / "checkpoints" / checkpoint_name(CHANGE)})
    assert [start["resumed_from"] for start in events_of(half, "train_start")] == [CHANGE]
    assert losses(half) == {step: loss for step, loss in losses(whole).items() if step > CHANGE}
    assert weights_sha256(half) == weights_sha256(whole)


@pytest.mark.soak
def test_four_processes_share_sequences_in_two_pairs_and_go_on_as_two(tokens: Path, tmp_path: Path) -> None:
    model = {"kv_heads": 4}
    four = plan_of(SHARED | {"processes_per_node": 4, "micro_batch_sequences": 2}, model, SEEN)
    two = plan_of(SHARED, model, SEEN)
    alone = plan_of(PAIR | {"micro_batch_sequences": 2}, model, SEEN)
    pairs, pair, whole = (
        make_run(tmp_path / name, plan) for name, plan in (("4", four), ("2", two), ("1", alone))
    )
    train_in_ranks({pairs: (four, tokens)}, 4)
    train_in_ranks(
        {pair: (two, tokens), whole: (alone, tokens)},
        2,
        {pair: pairs / "checkpoints" / checkpoint_name(CHANGE)},
    )
    assert list(losses(pairs).values()) == pytest.approx(list(losses(whole).values()), abs=FP32_BOUND)
    assert [start["resumed_from"] for start in events_of(pair, "train_start")] == [CHANGE]
    for step, loss in losses(pair).items():
        assert loss == pytest.approx(losses(pairs)[step], abs=FP32_BOUND)
