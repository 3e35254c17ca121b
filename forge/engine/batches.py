"""Which sequences of a global batch a rank reads. Every order is a function of the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from forge.data.loading import (
    TokenShard,
    batch_positions,
    batch_sequence_indices,
    learnt_targets,
    load_batch,
    sequence_count,
)
from forge.data.pairs import Reference, count_pairs, pairs_in
from forge.engine.documents import Documents
from forge.engine.preference_loss import PairBatch
from forge.plan.types import Plan


def rank_positions(accumulation: int, rank: int, world_size: int, micro_batch_sequences: int) -> range:
    """Return the positions in the global batch that `rank` reads in its `accumulation`-th micro-batch.

    Position j = accumulation * (world_size * micro_batch) + rank * micro_batch + slot.
    """
    first = (accumulation * world_size + rank) * micro_batch_sequences
    return range(first, first + micro_batch_sequences)


class MicroBatch(NamedTuple):
    """What a rank computes at once."""

    inputs: torch.Tensor
    """int64 [micro-batch, sequence length]."""
    targets: torch.Tensor
    documents: Documents
    learnt_targets: float | None
    """Targets of the step that are learnt, a mean over all its micro-batches; None: of each its own."""
    pairs: PairBatch | None = None
    """Where preferences are learnt."""


@dataclass(frozen=True, slots=True)
class RankBatches:
    """The micro-batches of one rank, read from the memory-mapped training tokens."""

    plan: Plan
    shard: TokenShard
    rank: int
    device: torch.device
    bos_id: int
    eos_id: int
    """Of the tokens: what documents begin and end with."""
    reference: Reference | None = None
    """Of the pairs in the tokens, where preferences are learnt."""

    def step(self, step: int) -> Iterator[MicroBatch]:
        """Yield what is computed at once, for each accumulation of `step`."""
        layout, schedule = self.plan.layout, self.plan.schedule
        length = schedule.sequence_length
        batch = batch_sequence_indices(
            step, schedule.global_batch_sequences, sequence_count(len(self.shard), length), self.plan.seed
        )
        learnt = learnt_targets(self.shard, batch, length)
        micro_batches = layout.gradient_accumulation_steps * layout.world_size
        pairs_of_step = 0 if self.reference is None else count_pairs(self.shard, batch, length)
        for accumulation in range(layout.gradient_accumulation_steps):
            positions = rank_positions(
                accumulation, self.rank, layout.world_size, layout.micro_batch_sequences
            )
            indices = batch[positions.start : positions.stop]
            inputs, targets = load_batch(self.shard, indices, length)
            places = batch_positions(self.shard, indices, inputs, self.bos_id, self.eos_id)
            yield MicroBatch(
                torch.from_numpy(inputs).to(self.device),
                torch.from_numpy(targets).to(self.device),
                Documents.at(places, self.device),
                None if learnt is None else max(learnt, 1) / micro_batches,
                None
                if self.reference is None
                else PairBatch.of(
                    pairs_in(self.shard, indices, length),
                    self.reference,
                    schedule.dpo_beta,
                    pairs_of_step / micro_batches,
                    self.device,
                ),
            )
