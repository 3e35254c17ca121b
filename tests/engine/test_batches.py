from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from forge.data.loading import TokenShard, sequence_count
from forge.engine.batches import RankBatches, rank_positions
from tests.factories import BOS_ID, EOS_ID, tiny_plan


@given(world_size=st.integers(1, 16), micro_batch=st.integers(1, 8), accumulations=st.integers(1, 8))
def test_ranks_share_a_batch_and_read_in_the_order_of_one_process(
    world_size: int, micro_batch: int, accumulations: int
) -> None:
    read = [
        position
        for accumulation in range(accumulations)
        for rank in range(world_size)
        for position in rank_positions(accumulation, rank, world_size, micro_batch)
    ]
    assert read == list(range(world_size * micro_batch * accumulations))


def test_two_ranks_together_read_what_one_process_reads(tokens: Path) -> None:
    shard = TokenShard.open(tokens, "train")
    cpu = torch.device("cpu")
    alone = tiny_plan(layout={"micro_batch_sequences": 8})
    pair = tiny_plan(
        layout={"micro_batch_sequences": 2, "gradient_accumulation_steps": 2, "processes_per_node": 2}
    )
    for step in (0, 40):
        ((inputs, targets, documents, *_),) = RankBatches(alone, shard, 0, cpu, BOS_ID, EOS_ID).step(step)
        parts = [list(RankBatches(pair, shard, rank, cpu, BOS_ID, EOS_ID).step(step)) for rank in (0, 1)]
        ordered = [parts[rank][accumulation] for accumulation in (0, 1) for rank in (0, 1)]
        assert torch.equal(torch.cat([part[0] for part in ordered]), inputs)
        assert torch.equal(torch.cat([part[1] for part in ordered]), targets)
        assert torch.equal(torch.cat([part[2].positions for part in ordered]), documents.positions)
        assert np.array_equal(inputs[:, 1:], targets[:, :-1])


def test_every_epoch_reads_the_same_sequences_in_an_order_of_its_own(tokens: Path) -> None:
    shard = TokenShard.open(tokens, "train")
    plan = tiny_plan()
    sequences, batch = sequence_count(len(shard), 32), plan.schedule.global_batch_sequences
    steps = sequences // batch  # an epoch is whole steps
    assert steps * batch == sequences
    batches = RankBatches(plan, shard, 0, torch.device("cpu"), BOS_ID, EOS_ID)
    epochs = [
        [
            tuple(row)
            for step in range(first, first + steps)
            for row in next(batches.step(step)).inputs.tolist()
        ]
        for first in (0, steps, 2 * steps)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    for one, other in itertools.combinations(epochs, 2):
        in_place = sum(before == after for before, after in zip(one, other, strict=True))
        assert in_place < len(one) / 8
