"""Pairs in packed sequences: the two conversations of each preference, and what a reference model says of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from forge.data.loading import BEGINS, PREFERRED, TokenShard
from forge.errors import StageError

REFERENCE_FILE = "reference.safetensors"
REFERENCE_FACTS = "reference.json"
"""Its checksum, and what was found."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs in some sequences, in order. Arrays are int64 [pairs], but `reference`."""

    row: npt.NDArray[np.int64]
    chosen: npt.NDArray[np.int64]
    """Place in the row at which the preferred conversation begins."""
    rejected: npt.NDArray[np.int64]
    """Place at which the other one begins: the token after the preferred one."""
    end: npt.NDArray[np.int64]
    """Place after the other one."""
    start: npt.NDArray[np.int64]
    """Place in the stream at which the pair begins."""

    def __len__(self) -> int:
        return len(self.row)

    def where(self, which: npt.NDArray[np.bool_]) -> Pairs:
        """Return those of which `which`, [pairs], is true."""
        columns = (self.row, self.chosen, self.rejected, self.end, self.start)
        return Pairs(*(column[which] for column in columns))


def pairs_in(shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int) -> Pairs:
    """Return the pairs in the sequences `indices` of a shard of preferences."""
    labels = _labels(shard, indices, sequence_length)
    rows, begins = np.nonzero(labels & BEGINS)
    # A row ends what is open in it: the place after its last token counts as one more beginning.
    flat = np.append(rows * sequence_length + begins, len(labels) * sequence_length)
    at = np.flatnonzero(labels[rows, begins] & PREFERRED)
    row = rows[at]
    after = np.minimum(flat[np.minimum(at + 2, len(flat) - 1)], (row + 1) * sequence_length)
    return Pairs(
        row=row,
        chosen=begins[at],
        rejected=flat[at + 1] - row * sequence_length,
        end=after - row * sequence_length,
        start=np.asarray(indices, np.int64)[row] * sequence_length + begins[at],
    )


def count_pairs(shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int) -> int:
    """Return how many pairs the sequences `indices` hold, each as often as it is named."""
    return int(np.count_nonzero(_labels(shard, indices, sequence_length) & PREFERRED))


def _labels(shard: TokenShard, indices: npt.NDArray[np.int64], sequence_length: int) -> npt.NDArray[np.uint8]:
    if shard.labels is None:
        raise StageError("train: the tokens are of documents, not of preferences: compile the plan again")
    starts = np.asarray(indices, np.int64)[:, None] * sequence_length
    labels: npt.NDArray[np.uint8] = shard.labels[starts + np.arange(sequence_length)]
    return labels


@dataclass(frozen=True, slots=True)
class Reference:
    """What the model that training starts from says of each pair of a split."""

    starts: npt.NDArray[np.int64]
    """Where pairs begin in the stream, ascending, [pairs]."""
    log_probabilities: npt.NDArray[np.float32]
    """Of the preferred answer and of the other one, natural logarithms, [pairs, 2]."""

    @classmethod
    def open(cls, folder: Path, split: str) -> Reference:
        """Read those of a split, 'train' or 'held_out', from a reference artifact.

        Raises:
            StageError: it is not there, or damaged.
        """
        path, remedy = folder / REFERENCE_FILE, "delete this folder and run again"
        try:
            content = path.read_bytes()
            facts = json.loads((folder / REFERENCE_FACTS).read_text(encoding="utf-8"))
            if hashlib.sha256(content).hexdigest() != facts["sha256"]:
                raise StageError(
                    f"train: {path}: was changed after it was written (its checksum differs): {remedy}"
                )
            tensors = load(content)
            return cls(tensors[f"{split}.starts"], tensors[f"{split}.log_probabilities"])
        except (OSError, ValueError, SafetensorError, KeyError, TypeError) as error:
            raise StageError(f"train: {path}: cannot be read ({error}): {remedy}") from None

    def of(self, pairs: Pairs) -> npt.NDArray[np.float32]:
        """Return the log-probabilities of `pairs`, [len(pairs), 2].

        Raises:
            StageError: some are not in it.
        """
        places = np.searchsorted(self.starts, pairs.start)
        if len(self.starts) == 0 or not np.array_equal(
            self.starts[np.minimum(places, len(self.starts) - 1)], pairs.start
        ):
            raise StageError(
                "train: the reference artifact is of other tokens: delete its folder and run again"
            )
        found: npt.NDArray[np.float32] = self.log_probabilities[places]
        return found
