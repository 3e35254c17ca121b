"""Which sequences of a global batch a rank reads. Every order is a function of the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from forge.data.loading import IGNORED, TokenShard, batch_positions, learnt_targets, load_batch
from forge.data.order import SequenceOrder
from forge.data.pairs import Reference, count_pairs, pairs_in
from forge.engine.documents import Documents
from forge.engine.preference_loss import PairBatch
from forge.engine.sequence_parallel import SequenceGroup
from forge.plan.types import Plan


def sequence_order(plan: Plan, shard: TokenShard) -> SequenceOrder:
    """Return the order in which a training reads the sequences of `shard`."""
    schedule = plan.schedule
    return SequenceOrder.of(
        shard,
        tuple(phase.first_step - 1 for phase in schedule.phases),
        schedule.global_batch_sequences,
        schedule.sequence_length,
        plan.seed,
    )


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
    """What to divide sums over targets by: those of the step that are learnt, a mean over all its micro-batches; None:
    by those of each its own."""
    positions: range
    """Of its rows in the global batch."""
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
    sequence_group: SequenceGroup | None = None
    """Ranks that share their sequences with this one."""
    reference: Reference | None = None
    """Of the pairs in the tokens, where preferences are learnt."""

    def step(self, step: int) -> Iterator[MicroBatch]:
        """Yield what is computed at once, for each accumulation of `step`."""
        layout, length = self.plan.layout, self.plan.schedule.sequence_length
        batch = sequence_order(self.plan, self.shard).batch(step)
        learnt = learnt_targets(self.shard, batch, length)
        micro_batches = layout.gradient_accumulation_steps * layout.world_size
        degree, group = layout.sequence_parallel_degree, self.sequence_group
        pairs_of_step = 0 if self.reference is None else count_pairs(self.shard, batch, length)
        for accumulation in range(layout.gradient_accumulation_steps):
            positions = rank_positions(
                accumulation, self.rank // degree, layout.world_size // degree, layout.micro_batch_sequences
            )
            indices = batch[positions.start : positions.stop]
            inputs, targets = load_batch(self.shard, indices, length)
            places = batch_positions(self.shard, indices, inputs, self.bos_id, self.eos_id)
            divisor = None if learnt is None else max(learnt, 1) / micro_batches
            if group is not None and divisor is None:
                # The mean over ranks divides the sum of the parts by their number once more.
                divisor = max(int((targets != IGNORED).sum()), 1) / degree
            ids, wanted = (_on_device(each, self.device) for each in (inputs, targets))
            yield MicroBatch(
                ids if group is None else group.part(ids),
                wanted if group is None else group.part(wanted),
                Documents.at(places, self.device).shared(group),
                divisor,
                positions,
                None
                if self.reference is None
                else PairBatch.of(
                    pairs_in(self.shard, indices, length),
                    self.reference,
                    self.plan.schedule.dpo_beta,
                    pairs_of_step / micro_batches,
                    self.device,
                ),
            )


def _on_device(array: npt.NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Return a tensor on `device`: to a GPU from pinned memory, while that computes."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
