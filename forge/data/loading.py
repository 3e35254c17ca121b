"""Reading tokens for training and measuring: memory-mapped, in an order that is a function of the step alone."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.errors import StageError


@dataclass(frozen=True, slots=True)
class TokenShard:
    """The flat tokens of one split, memory-mapped: `[BOS document EOS]*`."""

    tokens: npt.NDArray[np.unsignedinteger]
    """[len(self)], little-endian uint16 or uint32, read-only."""

    @classmethod
    def open(cls, folder: Path, split: str) -> TokenShard:
        """Map `folder`/`split`.bin, split 'train' or 'held_out', as `tokens.json` beside it describes.

        Raises:
            StageError: a file is not there, or the tokens are not as many as `tokens.json` says.
        """
        path = folder / f"{split}.bin"
        remedy = "delete this folder and run again"
        try:
            facts = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
            stored_bytes = path.stat().st_size
        except (OSError, ValueError) as error:
            raise StageError(f"{folder}: not a whole tokens artifact ({error}): {remedy}") from None
        dtype = np.dtype(facts["dtype"]).newbyteorder("<")
        count = facts[f"{split}_tokens"]
        if stored_bytes != count * dtype.itemsize:
            raise StageError(
                f"{path}: has {stored_bytes} bytes, {count} tokens need {count * dtype.itemsize}: {remedy}"
            )
        if count == 0:
            return cls(np.empty(0, dtype))
        # A plain view: indexing np.memmap itself costs twice as much.
        return cls(np.asarray(np.memmap(path, dtype=dtype, mode="r")))

    def __len__(self) -> int:
        return len(self.tokens)

    def window(self, start: int, length: int) -> npt.NDArray[np.int64]:
        """Return tokens `start` to `start + length`, int64 [length]. IndexError when they are not all there."""
        if start < 0 or length < 0 or start + length > len(self.tokens):
            raise IndexError(f"tokens {start} to {start + length} of {len(self.tokens)}")
        return self.tokens[start : start + length].astype(np.int64)


def sequence_count(tokens: int, sequence_length: int) -> int:
    """Return how many training sequences a stream has.

    A sequence is a window of `sequence_length` + 1 tokens (inputs and targets, shifted by one) at a stride of
    `sequence_length`, so every token but the first is a target at most once.
    """
    return max(0, (tokens - 1) // sequence_length)


def batch_sequence_indices(
    step: int, global_batch_sequences: int, sequences: int, seed: int
) -> npt.NDArray[np.int64]:
    """Return which sequences step `step` (from 0) trains on, int64 [global_batch_sequences].

    Position p = step * global_batch_sequences + j takes sequence `permutation(seed, p // sequences)[p % sequences]`:
    every sequence once an epoch, a new order each epoch, and no state to save or restore. A batch may span epochs.

    Raises:
        ValueError: there are no sequences.
    """
    if sequences < 1:
        raise ValueError("no sequences to choose from")
    positions = step * global_batch_sequences + np.arange(global_batch_sequences, dtype=np.int64)
    epochs, places = np.divmod(positions, sequences)
    indices = np.empty(global_batch_sequences, dtype=np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        indices[chosen] = _permutation(seed, int(epoch), sequences)[places[chosen]]
    return indices


def load_batch(
    shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (inputs, targets), both int64 [len(indices), sequence_length]; targets are inputs one token later."""
    starts = np.asarray(indices, dtype=np.int64)[:, None] * sequence_length
    rows = shard.tokens[starts + np.arange(sequence_length + 1)].astype(np.int64)
    return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])


@functools.lru_cache(maxsize=2)  # a batch may span two epochs
def _permutation(seed: int, epoch: int, sequences: int) -> npt.NDArray[np.int64]:
    # NumPy keeps SeedSequence and the raw Philox stream the same for ever, but not Generator.permutation (NEP 19):
    # a run resumed under another NumPy must go on in the same order.
    raw = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(sequences)
    order = np.argsort(raw, kind="stable")
    order.setflags(write=False)
    return order
