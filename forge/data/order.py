"""Which sequences a step trains on: a function of the step alone, so that nothing is kept, saved or restored.

In a phase of a curriculum every source has its share at any step. The order of a pass over a phase is one of blocks:
of a source with c of n sequences, block i holds those from floor(c * i / n) to floor(c * (i + 1) / n), and which they
are is a permutation of the source's own, another one in each pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge.data.loading import TokenShard, batch_sequence_indices, sequence_count
from forge.data.shuffle import permute

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PhaseOrder:
    """The sequences of a phase."""

    first_step: int
    """From 0."""
    sources: tuple[str, ...]
    first: Ints
    """Of each source, its first sequence."""
    counts: Ints
    """Of each source, its sequences; those that begin in its text."""


@dataclass(frozen=True, slots=True)
class SequenceOrder:
    """The order of a training's sequences."""

    seed: int
    global_batch_sequences: int
    sequence_length: int
    sequences: int
    """In the training stream."""
    phases: tuple[PhaseOrder, ...] = ()
    """Empty: all sequences in one order."""

    @classmethod
    def of(
        cls,
        shard: TokenShard,
        first_steps: tuple[int, ...],
        global_batch_sequences: int,
        sequence_length: int,
        seed: int,
    ) -> SequenceOrder:
        """Return the order of a training whose phases begin at `first_steps`, from 0; none: it has no phases."""
        sequences = sequence_count(len(shard), sequence_length)
        phases = []
        for first_step, runs in zip(first_steps, shard.phases, strict=True):
            begins = [min(-(-run.start // sequence_length), sequences) for run in runs]
            ends = [min(-(-(run.start + run.tokens) // sequence_length), sequences) for run in runs]
            first = np.array(begins, np.int64)
            counts = np.array(ends, np.int64) - first
            phases.append(PhaseOrder(first_step, tuple(run.source for run in runs), first, counts))
        return cls(seed, global_batch_sequences, sequence_length, sequences, tuple(phases))

    def batch(self, step: int) -> Ints:
        """Return which sequences step `step` (from 0) trains on, int64 [global_batch_sequences].

        Raises:
            ValueError: there are none to choose from.
        """
        if not self.phases:
            return batch_sequence_indices(step, self.global_batch_sequences, self.sequences, self.seed)
        number = self.phase_of(step)
        phase = self.phases[number]
        total = int(phase.counts.sum())
        if total < 1:
            raise ValueError(f"no sequences to choose from in phase {number + 1}")
        positions = (step - phase.first_step) * self.global_batch_sequences
        epochs, places = np.divmod(positions + np.arange(self.global_batch_sequences, dtype=np.int64), total)
        which, nth = interleaved(places, phase.counts)
        indices = np.empty(self.global_batch_sequences, np.int64)
        for source, epoch in np.unique(np.stack([which, epochs]), axis=1).T.tolist():
            chosen = (which == source) & (epochs == epoch)
            # A number of its own for each pass over each source in each phase.
            key = (number << 48) + (source << 32) + epoch
            indices[chosen] = phase.first[source] + permute(
                nth[chosen], int(phase.counts[source]), self.seed, key
            )
        return indices

    def phase_of(self, step: int) -> int:
        """Return the number, from 0, of the phase that step `step` (from 0) is in."""
        return sum(phase.first_step <= step for phase in self.phases) - 1

    def epoch(self, steps: int) -> float:
        """Return how often the training text has been read after `steps` steps; in phases, that of the present one."""
        if not self.phases:
            return steps * self.global_batch_sequences / self.sequences
        phase = self.phases[self.phase_of(steps - 1)]
        read = (steps - phase.first_step) * self.global_batch_sequences
        return read / int(phase.counts.sum())

    def source_tokens(self, steps: int) -> dict[str, int] | None:
        """Return the tokens of each source that the first `steps` steps read; None where there are no phases."""
        if not self.phases:
            return None
        tokens: dict[str, int] = {}
        ends = [*(phase.first_step for phase in self.phases[1:]), steps]
        for phase, end in zip(self.phases, ends, strict=True):
            read = max(min(end, steps) - phase.first_step, 0) * self.global_batch_sequences
            passes, rest = divmod(read, max(int(phase.counts.sum()), 1))
            sequences = passes * phase.counts + read_before(rest, phase.counts)
            for source, count in zip(phase.sources, sequences.tolist(), strict=True):
                tokens[source] = tokens.get(source, 0) + count * self.sequence_length
        return tokens


def interleaved(places: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Return, for places in a pass over sources of `counts` sequences, which source is there and which of its own.

    Up to any place each source has its share of those before to within as many sequences as there are sources. For up
    to three thousand million sequences.
    """
    block = _block_of(places, counts)
    before, after = _before(block, counts), _before(block + 1, counts)
    ends = np.cumsum(after - before, axis=0)
    offset = places - before.sum(axis=0)
    which = (ends <= offset).sum(axis=0)
    at = np.arange(len(places))
    # Counted back from what the source has at the end of the block.
    return which, after[which, at] - (ends[which, at] - offset)


def read_before(place: int, counts: Ints) -> Ints:
    """Return how many sequences of each source lie before `place` in a pass, int64 like `counts`."""
    if place >= int(counts.sum()):
        return counts.copy()
    block = _block_of(np.array([place], np.int64), counts)
    before, after = _before(block, counts)[:, 0], _before(block + 1, counts)[:, 0]
    begins = np.cumsum(after - before) - (after - before)
    read: Ints = before + np.clip(place - before.sum() - begins, 0, after - before)
    return read


def _before(blocks: Ints, counts: Ints) -> Ints:
    """Return the sequences of each source before `blocks`, int64 [sources, blocks]."""
    total = max(int(counts.sum()), 1)
    return counts[:, None] * blocks[None, :] // total


def _block_of(places: Ints, counts: Ints) -> Ints:
    """Return the block each place is in: the last one that begins at or before it."""
    # Block i begins at most as many places before i as there are sources, never after.
    low, high = places, np.minimum(places + len(counts), int(counts.sum()))
    while (high - low > 1).any():
        middle = (low + high) // 2
        begun = _before(middle, counts).sum(axis=0) <= places
        low, high = np.where(begun, middle, low), np.where(begun, high, middle)
    return low
