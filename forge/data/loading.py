"""Reading tokens for training and measuring: memory-mapped, in an order that is a function of the step alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet

from forge.data.boundaries import document_positions, positions_from
from forge.data.segments import SourceRun
from forge.data.shuffle import permute
from forge.errors import StageError

SPLITS = ("train", "held_out")

IGNORED = -100
"""A target that is not learnt: what PyTorch's cross-entropy leaves out."""

LEARNT = 1
"""Bit of a label: the token is of an answer, a target of the training."""
BEGINS = 2
"""Bit of a label: a conversation, or padding, begins at the token."""
PREFERRED = 4
"""Bit of a label: the conversation that begins at the token is preferred to the one that begins next."""
REJECTED = 8
"""Bit of a label: the token is of the answer that another is preferred to. It is compared, and not LEARNT."""


@dataclass(frozen=True, slots=True)
class TokenShard:
    """The flat tokens of one split, memory-mapped: `[BOS document EOS]*`, or packed sequences filled up with PAD."""

    tokens: npt.NDArray[np.unsignedinteger]
    """[len(self)], little-endian uint16 or uint32, read-only."""
    packed_length: int | None = None
    """Tokens in a sequence, where documents were packed by best fit."""
    pad_id: int | None = None
    labels: npt.NDArray[np.uint8] | None = None
    """Of conversations: LEARNT, BEGINS, PREFERRED, REJECTED of each token, [len(self)]; None of documents."""
    phases: tuple[tuple[SourceRun, ...], ...] = ()
    """Where the text of each source is, for each phase of the training; empty where it has none."""

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
        path, labels_path = folder / f"{split}.bin", folder / f"{split}.labels.bin"
        remedy = "delete this folder and run again"
        try:
            facts = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))
            stored_bytes = path.stat().st_size
            label_bytes = labels_path.stat().st_size if facts.get("labels") else None
        except (OSError, ValueError) as error:
            raise StageError(f"{folder}: not a whole tokens artifact ({error}): {remedy}") from None
        dtype = np.dtype(facts["dtype"]).newbyteorder("<")
        count = facts[f"{split}_tokens"]
        if stored_bytes != count * dtype.itemsize:
            raise StageError(
                f"{path}: has {stored_bytes} bytes, {count} tokens need {count * dtype.itemsize}: {remedy}"
            )
        if label_bytes not in (None, count):
            raise StageError(f"{labels_path}: has {label_bytes} bytes, {count} tokens need {count}: {remedy}")
        if count == 0:
            return cls(np.empty(0, dtype))
        # Of documents only those trained on are packed.
        packed = split == "train" or label_bytes is not None
        # A plain view: indexing np.memmap itself costs twice as much.
        return cls(
            np.asarray(np.memmap(path, dtype=dtype, mode="r")),
            facts.get("packed_length") if packed else None,
            facts.get("pad_id"),
            None if label_bytes is None else np.asarray(np.memmap(labels_path, dtype=np.uint8, mode="r")),
            tuple(tuple(SourceRun(**run) for run in runs) for runs in facts.get("phases", ()))
            if split == "train"
            else (),
        )

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

    In a packed shard a target that is padding, or the first token of another sequence, is IGNORED; of conversations
    every target that is of no answer.

    Raises:
        StageError: the shard was packed for another sequence length.
    """
    if shard.packed_length not in (None, sequence_length):
        raise StageError(
            f"train: the tokens are packed for sequences of {shard.packed_length}, not {sequence_length}: compile again"
        )
    places = _places(indices, sequence_length)
    rows = shard.tokens[places].astype(np.int64)
    targets = rows[:, 1:].copy()  # of a single row a view would do, and the inputs would be changed with it
    if shard.packed:
        targets[:, -1] = IGNORED
        targets[targets == shard.pad_id] = IGNORED
    if shard.labels is not None:
        targets[shard.labels[places[:, 1:]] & (LEARNT | REJECTED) == 0] = IGNORED
    return np.ascontiguousarray(rows[:, :-1]), targets


def batch_positions(
    shard: TokenShard,
    indices: npt.NDArray[np.int64],
    inputs: npt.NDArray[np.int64],
    bos_id: int,
    eos_id: int,
) -> npt.NDArray[np.int64]:
    """Return each input's place in its document or conversation, int64 like `inputs`, which `load_batch` returned."""
    if shard.labels is None:
        return document_positions(inputs, bos_id, eos_id)
    length = inputs.shape[1]
    return positions_from(shard.labels[_places(indices, length)[:, :-1]] & BEGINS != 0)


def learnt_targets(shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int) -> int | None:
    """Return how many targets of these sequences are learnt; None of documents, where it is all but padding."""
    if shard.labels is None:
        return None
    # The last target of a packed sequence is the first token of another.
    return int(np.count_nonzero(shard.labels[_places(indices, sequence_length)[:, 1:-1]] & LEARNT))


def _places(indices: npt.NDArray[np.int64], sequence_length: int) -> npt.NDArray[np.int64]:
    """Return where the inputs and targets of sequences are in the stream, [len(indices), sequence_length + 1]."""
    starts = np.asarray(indices, dtype=np.int64)[:, None] * sequence_length
    return starts + np.arange(sequence_length + 1)


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
