"""Held-out loss while training: that it is right, the same everywhere, and changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from forge.data.loading import TokenShard
from forge.engine.checkpoint_folder import checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.evaluation import HeldOut, HeldOutMeasure
from forge.engine.launch import run_training
from forge.engine.preference_loss import margin_fields
from forge.engine.processes import Job
from forge.errors import StageError
from forge.evaluate.perplexity import stream_loss_nats
from forge.progress import SilentProgress
from tests.engine.poison import stop_after
from tests.engine.runs import events_of, losses, make_run, train_here, weights_sha256
from tests.factories import BOS_ID, EOS_ID, tiny_plan, write_tokens

BOUND = {"fp32": 5e-6, "bf16": 4e-3}
"""Nats a token: what another order of additions may do."""


def measured(run_dir: Path) -> dict[int, float]:
    return {event["step"]: event["held_out_loss"] for event in events_of(run_dir, "evaluation")}


@pytest.mark.parametrize(
    ("zero_stage", "precision", "chunks"),
    [(0, "fp32", 1), (1, "bf16", 1), (2, "fp32", 3), (3, "fp32", 1), (3, "bf16", 3)],
)
def test_it_is_the_loss_of_the_weights_and_disturbs_nothing(
    zero_stage: int, precision: str, chunks: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    layout = {
        "zero_stage": zero_stage,
        "precision": precision,
        "loss_chunks": chunks,
        "activation_checkpointing": "full",
    }
    runs = []
    for every in (0, 2):
        plan = tiny_plan(layout=layout, schedule={"evaluate_every_steps": every})
        runs.append(make_run(tmp_path / str(every), plan))
        train_here(plan, tokens, runs[-1], place)
    never, now_and_then = runs
    assert losses(now_and_then) == losses(never)
    assert weights_sha256(now_and_then) == weights_sha256(never)
    # Every second step, and at the checkpoint of step 3.
    assert list(measured(now_and_then)) == [2, 3, 4, 6]
    (first, *_) = events_of(now_and_then, "evaluation")
    assert first["held_out_tokens"] == 256

    model = AutoModelForCausalLM.from_pretrained(now_and_then.parent / "out", dtype="auto").eval()
    stream = TokenShard.open(tokens, "held_out")
    nats = stream_loss_nats(model, stream, 257, 32, 4, BOS_ID, EOS_ID, SilentProgress())
    assert measured(now_and_then)[6] == pytest.approx(nats / 256, abs=BOUND[precision])
    assert torch.is_grad_enabled()


@pytest.mark.soak
def test_any_number_of_processes_measures_the_same(tmp_path: Path, tokens: Path, place: Place) -> None:
    """8 sequences over 2 ranks of micro-batch 3: the last turn has more places than sequences."""
    schedule = {"evaluate_every_steps": 3, "steps": 3}
    one, two = (
        tiny_plan(
            layout={"processes_per_node": some, "micro_batch_sequences": 6 // some, "zero_stage": 3},
            schedule=schedule,
        )
        for some in (1, 2)
    )
    alone, pair = make_run(tmp_path / "one", one), make_run(tmp_path / "two", two)
    train_here(one, tokens, alone, place)
    run_training(Job(two, pair / "plan.json", tokens, pair, pair.parent / "out"), SilentProgress())
    assert measured(pair)[3] == pytest.approx(measured(alone)[3], abs=BOUND["fp32"])


def test_a_resumed_training_measures_the_same(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(schedule={"evaluate_every_steps": 1})
    whole, halves = make_run(tmp_path / "whole", plan), make_run(tmp_path / "halves", plan)
    train_here(plan, tokens, whole, place)
    with monkeypatch.context() as patch:
        stop_after(patch, halves, 4)
        train_here(plan, tokens, halves, place)
    train_here(plan, tokens, halves, place)
    assert measured(halves) == measured(whole)


def test_the_best_checkpoint_stays_and_so_do_those_of_every_so_many_steps(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = iter([3.0, 1.0, 2.0, 2.5, math.nan, 4.0])
    monkeypatch.setattr(
        "forge.engine.loop.measure_held_out", lambda *_: HeldOutMeasure(next(fake), margin_fields([0.0] * 3))
    )
    schedule: dict[str, Any] = {
        "steps": 12,
        "checkpoint_every_steps": 2,
        "keep_checkpoints": 1,
        "keep_every_steps": 6,
        "evaluate_every_steps": 2,
    }
    run_dir = make_run(tmp_path, tiny_plan(schedule=schedule))
    train_here(tiny_plan(schedule=schedule), tokens, run_dir, place)
    assert measured(run_dir) == {2: 3.0, 4: 1.0, 6: 2.0, 8: 2.5, 12: 4.0}
    (note,) = events_of(run_dir, "note")
    assert note["line"] == "train: held-out loss is nan at step 10"
    assert checkpoint_steps(run_dir / "checkpoints") == [12, 6, 4]


def test_what_is_kept_for_good_is_written_where_no_other_checkpoint_is(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(schedule={"checkpoint_every_steps": 6, "keep_checkpoints": 1, "keep_every_steps": 4})
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == [6, 4]


def test_text_shorter_than_a_sequence_is_measured_and_none_is_refused(tmp_path: Path) -> None:
    plan = tiny_plan()
    short = TokenShard.open(write_tokens(tmp_path / "short", held_out_tokens=20), "held_out")
    held_out = HeldOut.of(plan, short, BOS_ID, EOS_ID)
    assert (held_out.sequences, held_out.sequence_length, held_out.tokens) == (1, 19, 19)
    none = TokenShard.open(write_tokens(tmp_path / "none", held_out_tokens=0), "held_out")
    with pytest.raises(StageError, match=r"^train: no held-out text: raise data\.held_out_fraction, or set"):
        HeldOut.of(plan, none, BOS_ID, EOS_ID)


def test_only_the_first_tokens_are_measured(tmp_path: Path) -> None:
    shard = TokenShard.open(write_tokens(tmp_path / "tokens", held_out_tokens=4_000), "held_out")
    for tokens, sequences in ((1, 1), (64, 2), (95, 2), (10**9, 124)):
        plan = tiny_plan(schedule={"evaluate_tokens": tokens})
        assert HeldOut.of(plan, shard, BOS_ID, EOS_ID).sequences == sequences
