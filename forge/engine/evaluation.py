"""Held-out loss while training: a fixed head of the held-out text or pairs, the same on any number of ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from forge.data.loading import (
    IGNORED,
    TokenShard,
    batch_positions,
    learnt_targets,
    load_batch,
    sequence_count,
)
from forge.data.pairs import Reference, pairs_in
from forge.engine.batches import rank_positions
from forge.engine.distributed import Place, sum_over_ranks
from forge.engine.documents import Documents
from forge.engine.loss import micro_batch_loss
from forge.engine.preference_loss import MarginSums, PairBatch, margin_fields
from forge.errors import StageError
from forge.plan.types import Plan


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What is measured: the first sequences of the held-out tokens."""

    shard: TokenShard
    sequences: int
    sequence_length: int
    """That of the training, or less where the text is shorter."""
    bos_id: int
    eos_id: int
    reference: Reference | None = None
    """Of the pairs in the tokens, where preferences are learnt."""

    @classmethod
    def of(
        cls, plan: Plan, shard: TokenShard, bos_id: int, eos_id: int, reference: Reference | None = None
    ) -> HeldOut:
        """Return what `plan` measures of `shard`: as many whole sequences as `evaluate_tokens` holds, at least one.

        Raises:
            StageError: nothing is held out.
        """
        length = min(plan.schedule.sequence_length, len(shard) - 1)
        length -= length % plan.layout.sequence_parallel_degree  # ranks have equal parts
        if length < 1:
            raise StageError(
                "train: no held-out text: raise data.held_out_fraction, or set train.evaluate_every_steps=null"
            )
        sequences = min(sequence_count(len(shard), length), max(plan.schedule.evaluate_tokens // length, 1))
        return cls(shard, sequences, length, bos_id, eos_id, reference)

    @property
    def tokens(self) -> int:
        """Predicted tokens."""
        learnt = learnt_targets(self.shard, np.arange(self.sequences), self.sequence_length)
        return self.sequences * self.sequence_length if learnt is None else learnt


class HeldOutMeasure(NamedTuple):
    """What was measured, the same on every rank."""

    loss: float
    """Mean cross-entropy, nats a token; of preferences the mean loss, nats a pair."""
    preferences: dict[str, float | None]
    """`reward_margin` and `preference_accuracy`, as of a step."""


@torch.no_grad()
def measure_held_out(engine: Any, plan: Plan, held_out: HeldOut, place: Place) -> HeldOutMeasure:
    """Measure the weights as they are; all ranks call it.

    Sequences are dealt to the ranks as those of a batch are. Every rank makes as many forward passes, as ZeRO stage 3
    needs, the last on sequences that do not count where there are none left. Draws no random number and changes no
    state, so the training goes on as if nothing had been measured.
    """
    layout = plan.layout
    micro_batch, degree, group = (
        layout.micro_batch_sequences,
        layout.sequence_parallel_degree,
        place.sequence_group,
    )
    replicas = place.world_size // degree
    nats, counted = 0.0, 0
    margins = MarginSums.zero(place.device)
    engine.eval()
    for turn in range(math.ceil(held_out.sequences / (micro_batch * replicas))):
        wanted = np.array(rank_positions(turn, place.rank // degree, replicas, micro_batch))
        counts = wanted < held_out.sequences
        indices = np.where(counts, wanted, 0)
        inputs, targets = load_batch(held_out.shard, indices, held_out.sequence_length)
        targets[~counts] = IGNORED
        places = batch_positions(held_out.shard, indices, inputs, held_out.bos_id, held_out.eos_id)
        ids, wanted_ids = (torch.from_numpy(each).to(place.device) for each in (inputs, targets))
        if group is not None:
            ids, wanted_ids = group.part(ids), group.part(wanted_ids)
        pairs, some = None, int((wanted_ids != IGNORED).sum())
        if held_out.reference is not None:
            found = pairs_in(held_out.shard, indices, held_out.sequence_length)
            found = found.where(counts[found.row])
            some = len(found)
            pairs = PairBatch.of(
                found, held_out.reference, plan.schedule.dpo_beta, max(some, 1), place.device
            )
        losses = micro_batch_loss(
            engine,
            ids,
            wanted_ids,
            plan.model,
            layout.loss_chunks,
            Documents.at(places, place.device).shared(group),
            pairs=pairs,
        )
        margins.add(losses.margins)
        if some:
            nats += float(losses.cross_entropy) * some
            counted += some
    engine.train()
    total_nats, total, *sums = sum_over_ranks([nats, float(counted), *margins.values()], place)
    return HeldOutMeasure(total_nats / total, margin_fields(sums))
