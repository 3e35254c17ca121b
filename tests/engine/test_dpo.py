"""Direct preference optimization: the reference is read once, and the preferred answers come to be preferred."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forge.data.loading import LEARNT, REJECTED, TokenShard
from forge.data.pairs import Pairs, Reference, pairs_in
from forge.engine.batches import RankBatches
from forge.engine.distributed import Place
from forge.engine.lora import is_adapter
from forge.engine.loss import compute_loss_inside, micro_batch_loss
from forge.engine.model import build_model
from forge.errors import StageError
from forge.plan.types import Plan
from tests.engine.chats import write_pairs
from tests.engine.ranks import train_in_ranks
from tests.engine.runs import (
    events_of,
    losses,
    make_run,
    refer_here,
    state_of,
    train_here,
    train_in_two,
    training,
    weights_sha256,
)
from tests.factories import BOS_ID, EOS_ID, tiny_plan

CPU = torch.device("cpu")
LENGTH = 64
LORA = {"lora_rank": 4, "lora_alpha": 64.0, "lora_target_modules": ("q_proj", "down_proj")}
MIXTURE = {"family": "mixtral", "experts": 4, "experts_per_token": 2}


def dpo_plan(
    layout: Mapping[str, object] | None = None, model: Mapping[str, object] | None = None, **schedule: object
) -> Plan:
    given = {"task": "dpo", "dpo_beta": 0.5, "sequence_length": LENGTH, "learning_rate": 1e-3}
    given |= {"weight_decay": 0.0, "evaluate_every_steps": 3}
    return tiny_plan(schedule=given | schedule, layout=layout, model=model)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, pairs: Path, place: Place) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    refer_here(dpo_plan(), pairs, make_run(folder, dpo_plan()), folder / "of", place)
    return folder / "of"


def said_by(network: Any, shard: TokenShard, found: Pairs, at: int) -> list[float]:
    """Return the log-probabilities of both answers of a pair, each conversation by itself, token by token."""
    assert shard.labels is not None
    start, middle = int(found.start[at]), int(found.start[at] + found.rejected[at] - found.chosen[at])
    end = int(found.start[at] + found.end[at] - found.chosen[at])
    sums = []
    for begin, stop, mark in ((start, middle, LEARNT), (middle, end, REJECTED)):
        ids = torch.from_numpy(shard.window(begin, stop - begin))
        with torch.no_grad():
            chances = network(input_ids=ids[None]).logits[0].log_softmax(-1)
        answer = [place for place in range(stop - begin) if shard.labels[begin + place] & mark]
        sums.append(sum(float(chances[place - 1, ids[place]]) for place in answer))
    return sums


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_the_reference_is_what_the_first_model_says(split: str, pairs: Path, reference: Path) -> None:
    plan, shard = dpo_plan(), TokenShard.open(pairs, split)
    network = build_model(plan.model, plan.seed)
    found = pairs_in(shard, np.arange(len(shard) // LENGTH), LENGTH)
    given = Reference.open(reference, split)
    assert given.starts.tolist() == found.start.tolist()
    for at in range(len(found)):
        assert given.log_probabilities[at].tolist() == pytest.approx(
            said_by(network, shard, found, at), abs=2e-5
        )
    facts = json.loads((reference / "reference.json").read_text())
    assert facts[f"{split}_pairs"] == len(found)


@pytest.mark.parametrize(("model", "loss_chunks"), [({}, 1), ({}, 3), (MIXTURE, 1), (MIXTURE, 3)], ids=str)
def test_the_loss_is_the_mean_over_the_pairs_of_the_step(
    model: dict[str, Any], loss_chunks: int, pairs: Path, reference: Path
) -> None:
    """By hand, of a model that is not the reference."""
    plan = dpo_plan({"micro_batch_sequences": 2, "gradient_accumulation_steps": 2}, model)
    network = build_model(plan.model, plan.seed + 1)
    shard, given = TokenShard.open(pairs, "train"), Reference.open(reference, "train")
    batches = list(RankBatches(plan, shard, 0, CPU, BOS_ID, EOS_ID, reference=given).step(0))
    found, margins = [], []
    for batch in batches:
        assert batch.pairs is not None
        for (row, first, _, _), compared in zip(batch.pairs.spans, batch.pairs.reference, strict=True):
            begins = np.flatnonzero(
                (shard.tokens[:-1].reshape(-1, LENGTH) == batch.inputs[row].numpy()).all(1)
            )
            start = int(begins[0]) * LENGTH + first
            pair = pairs_in(shard, begins, LENGTH)
            (at,) = np.flatnonzero(pair.start == start)
            said = said_by(network, shard, pair, int(at))
            margins.append(0.5 * (said[0] - float(compared[0]) - said[1] + float(compared[1])))
    if loss_chunks > 1 or model:
        compute_loss_inside(network, loss_chunks)
        network.module = network
    for batch in batches:
        losses = micro_batch_loss(
            network,
            batch.inputs,
            batch.targets,
            plan.model,
            loss_chunks,
            batch.documents,
            0.0,
            batch.learnt_targets,
            batch.pairs,
        )
        assert losses.margins is not None
        found.append(losses)
    by_hand = sum(math.log1p(math.exp(-margin)) for margin in margins) / len(margins)
    assert sum(float(each.cross_entropy) for each in found) / 2 == pytest.approx(by_hand, rel=1e-4)
    each = [float(margin) for losses in found for margin in losses.margins]  # type: ignore[union-attr]
    assert each == pytest.approx(margins, abs=1e-4)
    assert all((each.total.item() > each.cross_entropy.item()) == bool(model) for each in found)


def test_in_chunks_no_logits_are_kept_for_the_backward_pass(pairs: Path, reference: Path) -> None:
    kept = {}
    for loss_chunks in (1, 8):
        plan = dpo_plan(model={"vocab_size": 8192})
        network = build_model(plan.model, plan.seed)
        if loss_chunks > 1:
            compute_loss_inside(network, loss_chunks)
        given = Reference.open(reference, "train")
        (batch,) = RankBatches(
            plan, TokenShard.open(pairs, "train"), 0, CPU, BOS_ID, EOS_ID, reference=given
        ).step(0)
        wide: list[int] = []

        def keep(tensor: torch.Tensor, wide: list[int] = wide) -> torch.Tensor:
            wide.extend([tensor.numel()] if tensor.shape[-1:] == (8192,) else [])
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            micro_batch_loss(
                network,
                batch.inputs,
                batch.targets,
                plan.model,
                loss_chunks,
                batch.documents,
                pairs=batch.pairs,
            )
        kept[loss_chunks] = sum(wide)
    assert kept[1] >= 4 * LENGTH * 8192
    assert kept[8] == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_each_pair_of_a_step_is_computed_once_and_whole(processes: int, pairs: Path, reference: Path) -> None:
    layout = {"processes_per_node": processes, "micro_batch_sequences": 2 // processes}
    plan = dpo_plan(layout | {"gradient_accumulation_steps": 2})
    shard, given = TokenShard.open(pairs, "train"), Reference.open(reference, "train")
    seen: list[list[float]] = []
    for step in range(6):  # an epoch of 24 sequences
        micro_batches = [
            batch.pairs
            for rank in range(processes)
            for batch in RankBatches(plan, shard, rank, CPU, BOS_ID, EOS_ID, reference=given).step(step)
        ]
        of_step = sum(len(some.spans) for some in micro_batches if some is not None)
        for some in micro_batches:
            assert some is not None
            assert some.of_step == of_step / len(micro_batches)
            seen += some.reference.tolist()
    assert sorted(seen) == sorted(given.log_probabilities.tolist())


def test_held_out_preferences_come_to_be_kept(
    tmp_path: Path, pairs: Path, reference: Path, place: Place
) -> None:
    run_dir = make_run(tmp_path, dpo_plan(steps=12, learning_rate=3e-3))
    train_here(dpo_plan(steps=12, learning_rate=3e-3), pairs, run_dir, place, reference)
    steps, evaluations = events_of(run_dir, "step"), events_of(run_dir, "evaluation")
    # The first step is the reference's own: no margin.
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[0]["reward_margin"] == pytest.approx(0, abs=1e-5)
    assert steps[-1]["loss"] < 0.4
    assert steps[-1]["preference_accuracy"] > 0.9
    assert evaluations[-1]["held_out_preference_accuracy"] > 0.9
    assert evaluations[-1]["held_out_loss"] < 0.4
    assert evaluations[-1]["held_out_reward_margin"] > evaluations[0]["held_out_reward_margin"] > 0
    shard = TokenShard.open(pairs, "held_out")
    assert shard.labels is not None
    assert evaluations[0]["held_out_tokens"] == (shard.labels & LEARNT > 0).sum()


@pytest.mark.parametrize(
    ("zero_stage", "precision", "model"),
    [(1, "fp32", {}), (2, "bf16", {}), (3, "fp32", {}), (1, "bf16", LORA)],
)
def test_it_resumes_bit_for_bit(
    zero_stage: int, precision: str, model: dict[str, Any], tmp_path: Path, pairs: Path, place: Place
) -> None:
    layout = {"zero_stage": zero_stage, "precision": precision}
    layout |= {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2}
    plan = dpo_plan(layout, model)
    whole, halves = make_run(tmp_path / "whole", plan), make_run(tmp_path / "halves", plan)
    refer_here(plan, pairs, whole, tmp_path / "reference", place)
    train_here(plan, pairs, whole, place, tmp_path / "reference")
    assert losses(whole)[6] < losses(whole)[1]
    train_in_two(plan, pairs, halves, place, tmp_path / "reference")
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)
    first, second = (events_of(run, "evaluation")[-1] for run in (whole, halves))
    for field in ("held_out_loss", "held_out_reward_margin", "held_out_preference_accuracy"):
        assert first[field] == second[field]


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_how_a_batch_is_cut_changes_no_loss(
    zero_stage: int, tmp_path: Path, pairs: Path, reference: Path, place: Place
) -> None:
    runs = []
    for micro_batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        layout = {"zero_stage": zero_stage, "micro_batch_sequences": micro_batch}
        plan = dpo_plan(layout | {"gradient_accumulation_steps": accumulation})
        runs.append(make_run(tmp_path / str(micro_batch), plan))
        train_here(plan, pairs, runs[-1], place, reference)
    for run in runs[1:]:
        assert list(losses(run).values()) == pytest.approx(list(losses(runs[0]).values()), abs=5e-6)
        margins = [[event["reward_margin"] for event in events_of(each, "step")] for each in (run, runs[0])]
        assert margins[0] == pytest.approx(margins[1], abs=5e-5)


def test_adapters_are_compared_with_the_frozen_model(
    tmp_path: Path, pairs: Path, reference: Path, place: Place
) -> None:
    plan = dpo_plan(model=LORA, learning_rate=3e-2)
    run_dir = make_run(tmp_path, plan)
    refer_here(plan, pairs, run_dir, tmp_path / "reference", place)
    assert (tmp_path / "reference" / "reference.safetensors").read_bytes() == (
        reference / "reference.safetensors"
    ).read_bytes()
    train_here(plan, pairs, run_dir, place, reference)
    assert losses(run_dir)[1] == pytest.approx(math.log(2), abs=1e-5)
    last = events_of(run_dir, "evaluation")[-1]
    assert last["held_out_loss"] < 0.65
    assert last["held_out_preference_accuracy"] > 0.8
    assert all(is_adapter(name) for name in state_of(run_dir, plan, 6))


def test_two_processes_learn_as_one_does(tmp_path: Path, pairs: Path, reference: Path, place: Place) -> None:
    """The reference and the training."""
    one = dpo_plan()
    alone = make_run(tmp_path / "alone", one)
    train_here(one, pairs, alone, place, reference)
    two = dpo_plan({"processes_per_node": 2, "micro_batch_sequences": 2, "zero_stage": 2})
    both, out = make_run(tmp_path / "both", two), tmp_path / "reference"
    out.mkdir()
    train_in_ranks({both: (two, pairs)}, 2, references={both: out})
    facts = json.loads((out / "reference.json").read_text())
    for split in ("train", "held_out"):
        found, given = Reference.open(out, split), Reference.open(reference, split)
        assert found.starts.tolist() == given.starts.tolist()
        np.testing.assert_allclose(found.log_probabilities, given.log_probabilities, atol=2e-5)
    assert facts["train_pairs"] == len(Reference.open(out, "train").starts)
    told = events_of(both, "reference")
    assert told[-1]["sequences_done"] == told[-1]["sequences"] == 28
    assert list(losses(both).values()) == pytest.approx(list(losses(alone).values()), abs=5e-6)
    assert training(both)["first_loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_a_reference_that_was_stopped_goes_on(
    tmp_path: Path, pairs: Path, reference: Path, place: Place
) -> None:
    """Under another micro-batch than before."""
    run_dir, out = make_run(tmp_path, dpo_plan()), tmp_path / "reference"
    (run_dir / "stop").touch()
    refer_here(dpo_plan({"micro_batch_sequences": 1}), pairs, run_dir, out, place)
    assert not (out / "reference.json").exists()
    assert [event["sequences_done"] for event in events_of(run_dir, "reference")] == [0, 8]
    (run_dir / "stop").unlink()
    refer_here(dpo_plan({"micro_batch_sequences": 3}), pairs, run_dir, out, place)
    told = [event["sequences_done"] for event in events_of(run_dir, "reference")]
    assert told == [0, 8, 8, 24, 24, 28]
    assert [event["ending"] for event in events_of(run_dir, "reference_end")] == ["stopped", "done"]
    for split in ("train", "held_out"):
        found, given = Reference.open(out, split), Reference.open(reference, split)
        assert found.starts.tolist() == given.starts.tolist()
        np.testing.assert_allclose(found.log_probabilities, given.log_probabilities, atol=2e-5)


def test_a_reference_that_does_not_fit_is_one_line(
    tmp_path: Path, pairs: Path, reference: Path, place: Place
) -> None:
    plan = dpo_plan()
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(
        StageError, match="train: preferences are learnt against a reference, and none is given"
    ):
        train_here(plan, pairs, run_dir, place)
    other = write_pairs(tmp_path / "other", seed=5)
    with pytest.raises(StageError, match="train: the reference artifact is of other tokens"):
        train_here(plan, other, run_dir, place, reference)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in reference.iterdir():
        if path.is_file():
            (damaged / path.name).write_bytes(path.read_bytes())
    content = bytearray((damaged / "reference.safetensors").read_bytes())
    content[-1] ^= 1
    (damaged / "reference.safetensors").write_bytes(content)
    with pytest.raises(StageError, match=r"reference\.safetensors: was changed after it was written"):
        train_here(plan, pairs, run_dir, place, damaged)
    (damaged / "reference.json").unlink()
    with pytest.raises(StageError, match=r"cannot be read .*: delete this folder and run again"):
        train_here(plan, pairs, run_dir, place, damaged)
