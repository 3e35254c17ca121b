"""Supervised fine-tuning: the loss is of answers alone, and no conversation sees another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from forge.data.loading import IGNORED, LEARNT, TokenShard, batch_positions, load_batch
from forge.engine.batches import RankBatches
from forge.engine.distributed import Place
from forge.engine.documents import Documents
from forge.engine.loss import compute_loss_inside, micro_batch_loss
from forge.engine.model import build_model
from forge.plan.types import Plan
from tests.engine.chats import write_chats
from tests.engine.runs import events_of, losses, make_run, train_here, weights_sha256
from tests.factories import BOS_ID, EOS_ID, tiny_plan

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chats(tmp_path_factory.mktemp("chats"))


def sft_plan(layout: Mapping[str, object] | None = None, **schedule: object) -> Plan:
    return tiny_plan(schedule={"task": "sft", **schedule}, layout=layout)


def first_batch(plan: Plan, chats: Path) -> tuple[torch.Tensor, torch.Tensor, Documents, np.ndarray]:
    shard = TokenShard.open(chats, "train")
    indices = np.arange(plan.layout.micro_batch_sequences)
    inputs, targets = load_batch(shard, indices, plan.schedule.sequence_length)
    positions = batch_positions(shard, indices, inputs, BOS_ID, EOS_ID)
    documents = Documents.at(positions, CPU)
    return torch.from_numpy(inputs), torch.from_numpy(targets), documents, positions


@pytest.mark.parametrize("loss_chunks", [1, 3])
def test_the_loss_is_the_mean_over_the_answers_of_the_step(loss_chunks: int, chats: Path) -> None:
    """By hand: each conversation by itself, its log-probabilities one by one."""
    plan = sft_plan({"micro_batch_sequences": 2, "gradient_accumulation_steps": 2})
    network = build_model(plan.model, plan.seed)
    shard = TokenShard.open(chats, "train")
    assert shard.labels is not None
    nats, count = 0.0, 0
    batches = list(RankBatches(plan, shard, 0, CPU, BOS_ID, EOS_ID).step(0))
    order = {tuple(row): place for place, row in enumerate(shard.tokens[:-1].reshape(-1, 32).tolist())}
    for batch in batches:
        for row in batch.inputs.tolist():
            start = 32 * order[tuple(row)]
            labels = shard.labels[start : start + 32]
            begins = [*np.flatnonzero(labels & 2).tolist(), 32]
            for first, end in itertools.pairwise(begins):
                ids = torch.tensor([row[first:end]])
                with torch.no_grad():
                    chances = network(input_ids=ids).logits[0].log_softmax(-1)
                for at in range(first + 1, end):
                    if labels[at] & LEARNT:
                        nats -= float(chances[at - 1 - first, row[at]])
                        count += 1
    if loss_chunks > 1:
        compute_loss_inside(network, loss_chunks)
    found = [
        micro_batch_loss(
            network,
            batch.inputs,
            batch.targets,
            plan.model,
            loss_chunks,
            batch.documents,
            0.0,
            batch.learnt_targets,
        ).cross_entropy
        for batch in batches
    ]
    assert sum(map(float, found)) / len(found) == pytest.approx(nats / count, rel=1e-5)
    learnt = [int((batch.targets != IGNORED).sum()) for batch in batches]
    assert learnt[0] != learnt[1]
    assert sum(learnt) == count


def test_two_ranks_weigh_every_answer_of_the_step_alike(chats: Path) -> None:
    shard = TokenShard.open(chats, "train")
    pair = sft_plan({"micro_batch_sequences": 1, "gradient_accumulation_steps": 2, "processes_per_node": 2})
    for step in range(3):
        batches = [
            batch
            for rank in (0, 1)
            for batch in RankBatches(pair, shard, rank, CPU, BOS_ID, EOS_ID).step(step)
        ]
        learnt = sum(int((batch.targets != IGNORED).sum()) for batch in batches)
        assert {batch.learnt_targets for batch in batches} == {learnt / len(batches)}


def test_a_question_in_one_conversation_changes_no_other(chats: Path) -> None:
    plan = sft_plan()
    network = build_model(plan.model, plan.seed).eval()
    inputs, _, documents, positions = first_batch(plan, chats)
    begins = np.flatnonzero(positions[0] == 0)
    first, second = int(begins[1]), int(begins[2])
    with torch.no_grad():
        before = network(input_ids=inputs, use_cache=False, **documents.options()).logits
        inputs[0, first + 1] += 1
        after = network(input_ids=inputs, use_cache=False, **documents.options()).logits
    assert torch.equal(before[0, :first], after[0, :first])
    assert torch.equal(before[0, second:], after[0, second:])
    assert torch.equal(before[1:], after[1:])
    # A later turn of the same conversation, beyond an EOS, does see it.
    assert not torch.isclose(before[0, second - 1], after[0, second - 1]).all()


def test_a_later_turn_sees_the_turns_before_it(chats: Path) -> None:
    plan = sft_plan()
    inputs, _, documents, _ = first_batch(plan, chats)
    spans = [
        (row, first, end) for row, first, end in documents.spans if EOS_ID in inputs[row, first : end - 2]
    ]
    assert spans, "EOS within a conversation does not end it"


def test_what_the_user_says_gets_no_gradient(chats: Path) -> None:
    """The logits of a position whose next token is not of an answer have no part in the loss."""
    plan = sft_plan()
    network = build_model(plan.model, plan.seed)
    inputs, targets, documents, _ = first_batch(plan, chats)
    kept: list[torch.Tensor] = []
    forward = network.forward

    def watched(**options: object) -> object:
        output = forward(**options)
        output.logits.retain_grad()
        kept.append(output.logits)
        return output

    network.forward = watched
    loss = micro_batch_loss(network, inputs, targets, plan.model, 1, documents, 0.0, 10.0)
    torch.autograd.backward(loss.total)
    gradient = kept[0].grad
    assert gradient is not None
    learnt = targets != IGNORED
    assert (gradient[~learnt] == 0).all()
    assert (gradient[learnt].abs().sum(-1) > 0).all()


@pytest.mark.parametrize(("zero_stage", "precision"), [(1, "fp32"), (2, "bf16"), (3, "fp32")])
def test_it_resumes_bit_for_bit(
    zero_stage: int, precision: str, tmp_path: Path, chats: Path, place: Place
) -> None:
    layout = {"zero_stage": zero_stage, "precision": precision}
    layout |= {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2}
    plan = sft_plan(layout, evaluate_every_steps=3)
    whole, halves = make_run(tmp_path / "whole", plan), make_run(tmp_path / "halves", plan)
    train_here(plan, chats, whole, place)
    assert losses(whole)[6] < losses(whole)[1]
    (halves / "stop").touch()
    train_here(plan, chats, halves, place)
    (halves / "stop").unlink()
    train_here(plan, chats, halves, place)
    assert [start["resumed_from"] for start in events_of(halves, "train_start")] == [None, 1]
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)
    shard = TokenShard.open(chats, "held_out")
    assert shard.labels is not None
    for event in events_of(whole, "evaluation"):
        assert event["held_out_tokens"] == (shard.labels & LEARNT > 0).sum()


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_how_a_batch_is_cut_changes_no_loss(
    zero_stage: int, tmp_path: Path, chats: Path, place: Place
) -> None:
    runs = []
    for micro_batch, accumulation in ((4, 1), (1, 4)):
        layout = {
            "zero_stage": zero_stage,
            "micro_batch_sequences": micro_batch,
            "gradient_accumulation_steps": accumulation,
        }
        plan = sft_plan(layout)
        runs.append(make_run(tmp_path / str(micro_batch), plan))
        train_here(plan, chats, runs[-1], place)
    assert list(losses(runs[1]).values()) == pytest.approx(list(losses(runs[0]).values()), abs=5e-6)
