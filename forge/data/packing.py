"""Documents put together so that few are cut: best-fit packing (Ding et al. 2024, arXiv:2404.10830)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packing:
    """Pieces of documents, in the order of the stream. Arrays are of one length."""

    document: Ints
    """Which document a piece is of."""
    offset: Ints
    """Its first token within the document."""
    start: Ints
    """Its place in the stream, in tokens."""
    tokens: Ints
    sequences: int
    """Sequences in the stream."""

    def in_blocks(self, pieces: int) -> Iterator[Packing]:
        """Yield so many pieces at a time; none is one block."""
        for first in range(0, max(1, len(self.document)), pieces):
            some = slice(first, first + pieces)
            yield Packing(
                self.document[some], self.offset[some], self.start[some], self.tokens[some], self.sequences
            )


def best_fit(lengths: Ints, capacity: int) -> Packing:
    """Pack documents of `lengths` tokens into sequences of `capacity` tokens.

    Longest first, each into the fullest sequence that has room for it. Only a document longer than a sequence is cut.
    Time is linear but for one operation on an integer of `capacity` bits a piece.
    """
    whole = lengths // capacity
    rest = lengths - whole * capacity
    # Full pieces of long documents fill a sequence each.
    full_of = np.repeat(np.arange(len(lengths)), whole)
    full_offset = (np.arange(len(full_of)) - np.repeat(np.cumsum(whole) - whole, whole)) * capacity
    pieces = np.flatnonzero(rest)
    order = pieces[np.argsort(-rest[pieces], kind="stable")]
    sequence_of = np.empty(len(order), np.int64)
    begins = np.empty(len(order), np.int64)
    rooms: list[list[int]] = [[] for _ in range(capacity + 1)]
    open_rooms = 0  # bit r is set where a sequence has room for r tokens
    count = len(full_of)
    for place, length in enumerate(rest[order].tolist()):
        fitting = open_rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            sequence = rooms[room].pop()
            if not rooms[room]:
                open_rooms &= ~(1 << room)
        else:
            room, sequence = capacity, count
            count += 1
        sequence_of[place] = sequence
        begins[place] = sequence * capacity + capacity - room
        if left := room - length:
            rooms[left].append(sequence)
            open_rooms |= 1 << left
    document = np.concatenate([full_of, order])
    start = np.concatenate([np.arange(len(full_of)) * capacity, begins])
    tokens = np.concatenate([np.full(len(full_of), capacity, np.int64), rest[order]])
    offset = np.concatenate([full_offset, whole[order] * capacity])
    sort = np.argsort(start, kind="stable")
    return Packing(document[sort], offset[sort], start[sort], tokens[sort], count)


def concatenate(lengths: Ints) -> Packing:
    """Put documents one after the other."""
    return Packing(
        np.arange(len(lengths)),
        np.zeros(len(lengths), np.int64),
        np.cumsum(lengths) - lengths,
        np.asarray(lengths, np.int64),
        0,
    )
