"""Whole trainings of a tiny model, in this process as the only rank."""

from __future__ import annotations

import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from forge.engine.checkpoint_folder import checkpoint_name, checkpoint_steps
from forge.engine.distributed import Place
from forge.errors import StageError
from tests.engine.poison import poison, stop_after
from tests.engine.reference import reference_losses
from tests.engine.runs import (
    events_of,
    losses,
    losses_after_going_back,
    make_run,
    state_of,
    train_here,
    train_in_two,
    train_to_the_end,
    training,
    weights,
    weights_sha256,
)
from tests.factories import tiny_plan, write_tokens

# What separates DeepSpeed's sums from torch's: the order of additions, in fp32 and in bf16.
LOSS_BOUND = {"fp32": 5e-6, "bf16": 1e-3}

LAYOUTS = [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")]


@pytest.mark.parametrize(("zero_stage", "precision"), LAYOUTS)
def test_every_layout_trains_as_plain_torch_and_resumes_bit_for_bit(
    zero_stage: int, precision: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(
        layout={
            "zero_stage": zero_stage,
            "precision": precision,
            "micro_batch_sequences": 2,
            "gradient_accumulation_steps": 2,
        }
    )
    whole = make_run(tmp_path / "whole", plan)
    train_here(plan, tokens, whole, place)
    assert list(losses(whole).values()) == pytest.approx(
        reference_losses(plan, tokens), abs=LOSS_BOUND[precision]
    )
    assert losses(whole)[6] < losses(whole)[1]

    halves = make_run(tmp_path / "halves", plan)
    train_in_two(plan, tokens, halves, place)
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)


def test_the_reference_notices_a_wrong_training(tmp_path: Path, tokens: Path, place: Place) -> None:
    run_dir = make_run(tmp_path, tiny_plan())
    train_here(tiny_plan(), tokens, run_dir, place)
    bound = LOSS_BOUND["fp32"]
    for change in ({"adam_beta2": 0.99}, {"weight_decay": 1.0}, {"warmup_steps": 1}, {"gradient_clip": 0.1}):
        wrong = tiny_plan(schedule=change)
        assert list(losses(run_dir).values()) != pytest.approx(reference_losses(wrong, tokens), abs=bound), (
            change
        )
    assert list(losses(run_dir).values()) == pytest.approx(reference_losses(tiny_plan(), tokens), abs=bound)


@pytest.mark.parametrize(
    ("model", "checkpointing"),
    [
        ({"family": "llama"}, "full"),
        ({"family": "llama", "tied_embeddings": False}, "none"),
        ({"family": "mistral", "tied_embeddings": False}, "none"),
        ({"family": "mixtral", "experts": 4, "experts_per_token": 2, "tied_embeddings": False}, "none"),
        ({"family": "mixtral", "experts": 4, "experts_per_token": 2, "tied_embeddings": False}, "full"),
        ({"family": "qwen2"}, "none"),
        ({"family": "qwen3", "head_dim": 16}, "selective"),
        ({"family": "qwen3_moe", "head_dim": 16, "experts": 4, "experts_per_token": 2}, "none"),
    ],
)
def test_every_family_trains_and_its_weights_load_in_transformers(
    model: dict[str, Any], checkpointing: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(
        model=model, layout={"zero_stage": 3, "precision": "bf16", "activation_checkpointing": checkpointing}
    )
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert losses(run_dir)[6] < losses(run_dir)[1]
    for event in events_of(run_dir, "step"):
        if not plan.model.experts:
            assert event["expert_load"] is None
            continue
        assert len(event["expert_load"]) == plan.model.experts
        assert sum(event["expert_load"]) == pytest.approx(1.0)
        assert 1.0 <= event["expert_load_max_over_mean"] <= plan.model.experts
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info.values())
    assert loaded.dtype == torch.bfloat16
    assert loaded.config.model_type == plan.model.family
    assert sum(parameter.numel() for parameter in loaded.parameters()) == plan.model.parameters
    assert sum(tensor.numel() for tensor in weights(run_dir).values()) == plan.model.parameters


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_activation_checkpointing_changes_no_loss(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    runs = []
    for value in ("none", "selective", "full"):
        plan = tiny_plan(layout={"zero_stage": zero_stage, "activation_checkpointing": value})
        runs.append(make_run(tmp_path / value, plan))
        train_here(plan, tokens, runs[-1], place)
    assert losses(runs[0]) == losses(runs[1]) == losses(runs[2])


@pytest.mark.parametrize(("zero_stage", "precision"), LAYOUTS)
def test_how_a_batch_is_cut_into_micro_batches_changes_no_loss(
    zero_stage: int, precision: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    runs = []
    for micro_batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        layout = {
            "zero_stage": zero_stage,
            "precision": precision,
            "micro_batch_sequences": micro_batch,
            "gradient_accumulation_steps": accumulation,
        }
        plan = tiny_plan(layout=layout)
        runs.append(make_run(tmp_path / str(micro_batch), plan))
        train_here(plan, tokens, runs[-1], place)
    bound = LOSS_BOUND[precision] if precision == "fp32" else 4e-3
    for run_dir in runs[1:]:
        assert list(losses(run_dir).values()) == pytest.approx(list(losses(runs[0]).values()), abs=bound)


@pytest.mark.parametrize(
    ("zero_stage", "model"),
    [(1, {}), (2, {}), (3, {}), (3, {"family": "mixtral", "experts": 4, "experts_per_token": 2})],
)
def test_a_chunked_loss_trains_the_same(
    zero_stage: int, model: dict[str, Any], tmp_path: Path, tokens: Path, place: Place
) -> None:
    runs = []
    for chunks in (1, 3):
        layout = {
            "zero_stage": zero_stage,
            "loss_chunks": chunks,
            "micro_batch_sequences": 2,
            "gradient_accumulation_steps": 2,
        }
        plan = tiny_plan(model=model, layout=layout)
        runs.append(make_run(tmp_path / str(chunks), plan))
        train_here(plan, tokens, runs[-1], place)
    assert list(losses(runs[1]).values()) == pytest.approx(list(losses(runs[0]).values()), abs=5e-6)


def test_the_saved_weights_are_the_trained_ones(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = tiny_plan(layout={"zero_stage": 2, "precision": "bf16"})
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    trained = state_of(run_dir, plan, 6)
    loaded = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto").named_parameters())
    assert set(loaded) == set(trained)
    assert all(torch.equal(loaded[name], trained[name].bfloat16()) for name in loaded)
    assert "lm_head.weight" not in weights(run_dir)


def test_training_json_measures_all_attempts(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = tiny_plan()
    run_dir = make_run(tmp_path, plan)
    train_in_two(plan, tokens, run_dir, place)
    summary = training(run_dir)
    assert (summary["steps"], summary["tokens"], summary["attempts"]) == (6, 6 * 4 * 32, 2)
    assert summary["first_loss"] == losses(run_dir)[1]
    assert summary["final_loss"] == losses(run_dir)[6]
    assert summary["peak_memory_bytes"] > 50_000_000
    assert 0 < summary["step_time_s"] < summary["wall_clock_s"]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(schedule={"checkpoint_every_steps": 2})
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == [6, 4]
    whole_losses, whole_sha256 = losses(run_dir), weights_sha256(run_dir)
    states = next((run_dir / "checkpoints" / checkpoint_name(6)).glob("rank*.safetensors"))
    damaged = bytearray(states.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    states.write_bytes(damaged)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()

    train_here(plan, tokens, run_dir, place)
    assert events_of(run_dir, "train_start")[-1]["resumed_from"] == 4
    (note,) = events_of(run_dir, "note")
    assert "step-00000006 is not used" in note["line"]
    assert "changed after it was written" in note["line"]
    assert (losses(run_dir), weights_sha256(run_dir)) == (whole_losses, whole_sha256)
    assert checkpoint_steps(run_dir / "checkpoints") == [6, 4]


def test_a_diverged_training_stops_with_a_line_and_saves_nothing(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(schedule={"learning_rate": 1e25, "warmup_steps": 1, "checkpoint_every_steps": 1})
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(
        StageError, match=r"^train: (loss|gradient norm) is (nan|inf) at step \d+: lower train"
    ):
        train_to_the_end(plan, tokens, run_dir, place)
    assert events_of(run_dir, "going_back")
    assert 6 not in losses(run_dir)
    assert checkpoint_steps(run_dir / "checkpoints")[0] < 6
    assert not list((tmp_path / "out").iterdir())


SHORT: dict[str, Any] = {"learning_rate_schedule": "constant", "steps": 64, "checkpoint_every_steps": 8}


@pytest.mark.parametrize(("zero_stage", "precision"), LAYOUTS)
def test_a_step_without_a_finite_gradient_changes_nothing(
    zero_stage: int,
    precision: str,
    tmp_path: Path,
    tokens: Path,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Poisons the batch of step 3; the weights after it are those after step 2 with the next rate."""
    layout = {"zero_stage": zero_stage, "precision": precision}
    plan = tiny_plan(layout=layout, schedule={"checkpoint_every_steps": 1, "keep_checkpoints": 9})
    run_dir = make_run(tmp_path, plan)
    poison(monkeypatch, {3}, "not finite")
    train_here(plan, tokens, run_dir, place)
    (skipped,) = events_of(run_dir, "step_skipped")
    assert skipped["step"] == 3
    assert skipped["reason"] in ("loss is nan", "gradient norm is nan")
    assert sorted(losses(run_dir)) == [1, 2, 4, 5, 6]
    before, after = (state_of(run_dir, plan, step) for step in (2, 3))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not events_of(run_dir, "going_back")


@pytest.mark.parametrize("kind", ["not finite", "spike"])
def test_what_spoils_training_is_left_out_and_named_and_a_resumed_run_does_the_same(
    kind: str, tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(schedule=SHORT)
    poison(monkeypatch, {48, 49, 50}, kind)
    quiet = make_run(tmp_path / "quiet", plan)
    train_to_the_end(plan, tokens, quiet, place)
    going_back = events_of(quiet, "going_back")
    # Those that are not finite are passed over until the third; of spikes each is one.
    first, last = (46, 50) if kind == "not finite" else (44, 50)
    assert (going_back[0]["first_step"], going_back[-1]["last_step"]) == (first, last)
    assert set(range(1, 65)) - set(losses_after_going_back(quiet)) == set(range(first, last + 1))
    documents = {name for event in going_back for name in event["documents"]}
    assert documents
    assert all(name.startswith("train-") for name in documents)
    assert losses(quiet)[64] < losses(quiet)[1]
    assert training(quiet)["steps_skipped"] == list(range(first, last + 1))

    rough = make_run(tmp_path / "rough", plan)
    for stop_at in (20, 47, 49, 52):
        with monkeypatch.context() as patch:
            stop_after(patch, rough, stop_at)
            train_here(plan, tokens, rough, place)
    train_to_the_end(plan, tokens, rough, place)
    assert losses_after_going_back(rough) == losses_after_going_back(quiet)
    assert weights_sha256(rough) == weights_sha256(quiet)


def test_a_flipped_byte_of_the_tokens_is_named_and_never_trained_on(tmp_path: Path, place: Place) -> None:
    plan = tiny_plan()
    tokens = write_tokens(tmp_path / "tokens")
    content = bytearray((tokens / "train.bin").read_bytes())
    content[-1] ^= 1
    (tokens / "train.bin").write_bytes(content)
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(StageError, match=r"train\.bin: was changed after it was written"):
        train_here(plan, tokens, run_dir, place)
    assert not losses(run_dir)


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (
            tiny_plan(layout={"zero_stage": 0, "precision": "bf16"}),
            "bf16 does not train right with engine.zero_stage=0",
        ),
        (tiny_plan(layout={"processes_per_node": 2}), "1 processes run a plan for 2"),
        (tiny_plan(model={"vocab_size": 200}), "vocabulary of 256, the model of 200"),
        (
            tiny_plan(schedule={"sequence_length": 5_000}),
            "4000 training tokens do not fill one sequence of 5000",
        ),
    ],
)
def test_what_cannot_train_is_refused(
    plan: Any, line: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    with pytest.raises(StageError, match=line):
        train_here(plan, tokens, make_run(tmp_path, plan), place)


def test_a_full_disk_stops_the_training_with_a_line(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = tiny_plan()
    huge = replace(plan, model=replace(plan.model, parameters=10**16))
    run_dir = make_run(tmp_path, huge)
    with pytest.raises(StageError, match=r"the checkpoint of step 3 needs 1\.2e\+08 GB .*: free some space"):
        train_here(huge, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == []


def test_a_checkpoint_that_cannot_be_written_whole_leaves_the_one_before(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan()
    run_dir = make_run(tmp_path, plan)
    with monkeypatch.context() as patch:
        stop_after(patch, run_dir, 2)
        train_here(plan, tokens, run_dir, place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # a write fails half-way, as on a full disk
    try:
        with pytest.raises(StageError, match=r"the checkpoint of step 3 could not be written to .* earlier"):
            train_here(plan, tokens, run_dir, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step-00000002"]
    train_here(plan, tokens, run_dir, place)
    assert sorted(losses(run_dir)) == [1, 2, 3, 4, 5, 6]
