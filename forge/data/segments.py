"""The training stream of a training in phases: a segment for each phase, and in it a run of each source's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge.data.mixture import mixed
from forge.data.packing import Packing, best_fit, concatenate

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SourceRun:
    """Where the text of one source for one phase is in the training stream."""

    source: str
    start: int
    """Its first token."""
    tokens: int


def lay_out_segments(
    sources: Sequence[str], lengths: Ints, phases: Sequence[Mapping[str, float]], packed_length: int | None
) -> tuple[Ints, Packing, list[list[SourceRun]]]:
    """Return places of documents in the order of the stream, how they are packed, and the runs of each phase.

    Of a source with weight w a phase gets w times all its tokens, to within half a document. It goes on where the phase
    before left off in the source, so that phases of half a source each see different halves.

    Args:
        sources: of each document.
        lengths: tokens of each document.
        phases: the weights of each, by source, in whose order they lie; one with none, or 0, is left out.
        packed_length: tokens in a sequence, where documents are packed by best fit: each run apart.
    """
    names = np.array(sources, dtype=object)
    own = {source: np.flatnonzero(names == source) for source in dict.fromkeys(sources)}
    taken = dict.fromkeys(own, 0)
    orders, packings = [], []
    runs: list[list[SourceRun]] = []
    documents = start = sequences = 0
    for weights in phases:
        runs.append([])
        for source in weights:
            if not weights[source] or source not in own:
                continue
            places = own[source]
            ahead = np.roll(places, -taken[source])
            order = ahead[mixed([source] * len(ahead), lengths[ahead], weights)]
            taken[source] = (taken[source] + len(order)) % len(places)
            some = lengths[order]
            packing = concatenate(some) if packed_length is None else best_fit(some, packed_length)
            tokens = int(some.sum()) if packed_length is None else packing.sequences * packed_length
            runs[-1].append(SourceRun(source, start, tokens))
            orders.append(order)
            packings.append(_moved(packing, documents, start))
            documents, start = documents + len(order), start + tokens
            sequences += packing.sequences
    return np.concatenate([*orders, np.empty(0, np.int64)]), _joined(packings, sequences), runs


def _moved(packing: Packing, documents: int, tokens: int) -> Packing:
    """Return a packing of which the first document is `documents` and the first token `tokens`."""
    return Packing(
        packing.document + documents,
        packing.offset,
        packing.start + tokens,
        packing.tokens,
        packing.sequences,
    )


def _joined(packings: list[Packing], sequences: int) -> Packing:
    none = np.empty(0, np.int64)
    return Packing(
        np.concatenate([*(packing.document for packing in packings), none]),
        np.concatenate([*(packing.offset for packing in packings), none]),
        np.concatenate([*(packing.start for packing in packings), none]),
        np.concatenate([*(packing.tokens for packing in packings), none]),
        sequences,
    )
