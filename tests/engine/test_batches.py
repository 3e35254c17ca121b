from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from forge.data.loading import TokenShard
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
        ((inputs, targets, documents, _),) = RankBatches(alone, shard, 0, cpu, BOS_ID, EOS_ID).step(step)
        parts = [list(RankBatches(pair, shard, rank, cpu, BOS_ID, EOS_ID).step(step)) for rank in (0, 1)]
        ordered = [parts[rank][accumulation] for accumulation in (0, 1) for rank in (0, 1)]
        assert torch.equal(torch.cat([part[0] for part in ordered]), inputs)
        assert torch.equal(torch.cat([part[1] for part in ordered]), targets)
        assert torch.equal(torch.cat([part[2].positions for part in ordered]), documents.positions)
        assert np.array_equal(inputs[:, 1:], targets[:, :-1])
