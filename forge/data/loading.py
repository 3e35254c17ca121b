"""Reading tokens for training and measuring: memory-mapped, in an order that is a function of the step alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet

from forge.data.shuffle import permute
from forge.errors import StageError

IGNORED = -100
"""A target that is not learnt: what PyTorch's cross-entropy leaves out."""


@dataclass(frozen=True, slots=True)
class TokenShard:
    """The flat tokens of one split, memory-mapped: `[BOS document EOS]*`, or packed sequences filled up with PAD."""

    tokens: npt.NDArray[np.unsignedinteger]
    """[len(self)], little-endian uint16 or uint32, read-only."""
    packed_length: int | None = None
    """Tokens in a sequence, where documents were packed by best fit."""
    pad_id: int | None = None

    @property
    def packed(self) -> bool:
        """Whether sequences hold whole documents and PAD."""
        return self.packed_length is not None

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
        packed_length = facts.get("packed_length") if split == "train" else None
        # A plain view: indexing np.memmap itself costs twice as much.
        return cls(np.asarray(np.memmap(path, dtype=dtype, mode="r")), packed_length, facts.get("pad_id"))

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

    Position p = step * global_batch_sequences + j takes sequence `permute(p % sequences, seed, p // sequences)`:
    every sequence once an epoch, a new order each epoch, and nothing to keep in memory, to save or to restore. A batch
    may span epochs.

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
        indices[chosen] = permute(places[chosen], sequences, seed, int(epoch))
    return indices


def load_batch(
    shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (inputs, targets), both int64 [len(indices), sequence_length]; targets are inputs one token later.

    In a packed shard a target that is padding, or the first token of another sequence, is IGNORED.

    Raises:
        StageError: the shard was packed for another sequence length.
    """
    if shard.packed_length not in (None, sequence_length):
        raise StageError(
            f"train: the tokens are packed for sequences of {shard.packed_length}, not {sequence_length}: compile again"
        )
    starts = np.asarray(indices, dtype=np.int64)[:, None] * sequence_length
    rows = shard.tokens[starts + np.arange(sequence_length + 1)].astype(np.int64)
    targets = np.ascontiguousarray(rows[:, 1:])
    if shard.packed:
        targets[:, -1] = IGNORED
        targets[targets == shard.pad_id] = IGNORED
    return np.ascontiguousarray(rows[:, :-1]), targets


@dataclass(frozen=True, slots=True)
class Traced:
    """A part of a training sequence."""

    document_id: str
    document_offset: int
    """Its first token within the document, BOS counted."""
    start: int
    """Its first token within the sequence."""
    tokens: int


def trace_sample(folder: Path, index: int, sequence_length: int) -> list[Traced]:
    """Return which documents training sequence `index` of a tokens artifact holds, in order.

    Raises:
        IndexError: there is no such sequence.
    """
    shard = TokenShard.open(folder, "train")
    if not 0 <= index < sequence_count(len(shard), sequence_length):
        raise IndexError(f"sequence {index} of {sequence_count(len(shard), sequence_length)}")
    first, last = index * sequence_length, (index + 1) * sequence_length
    table = parquet.read_table(
        folder / "documents.parquet",
        columns=["document_id", "offset", "start", "tokens"],
        filters=[("split", "=", "train"), ("start", "<", last)],
    )
    starts, tokens = table["start"].to_numpy(), table["tokens"].to_numpy()
    found = []
    for place in np.flatnonzero(starts + tokens > first).tolist():
        begin = max(int(starts[place]), first)
        end = min(int(starts[place] + tokens[place]), last)
        skipped = begin - int(starts[place])
        offset = table["offset"][place].as_py() + skipped
        found.append(Traced(table["document_id"][place].as_py(), offset, begin - first, end - begin))
    return sorted(found, key=lambda one: one.start)


def verify_tokens(folder: Path) -> None:
    """Hold the .bin files of a tokens artifact against their checksums.

    Raises:
        StageError: one differs.
    """
    facts = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
    for name, digest in facts["sha256"].items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise StageError(
                    f"{folder / name}: is not what was written: delete this folder and run again"
                )
