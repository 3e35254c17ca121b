"""Which held-out documents are measured: as many whole ones as the token limit allows, in the order of the stream.

Cutting between documents keeps the byte count exact, so bits per byte compare fairly with any other compressor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.loading import LEARNT, TokenShard
from forge.errors import StageError


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The measured head of the held-out stream."""

    document_ids: tuple[str, ...]
    """In the order of the stream."""
    ends: tuple[int, ...]
    """Where each ends in the stream."""
    document_bytes: tuple[int, ...]
    """Of each, UTF-8 bytes of what is predicted."""
    tokens: int
    """With the tokens that mark where documents begin and end."""
    predicted_tokens: int
    """Of them, those that are predicted: all but the first, or those of answers."""
    bytes: int
    """UTF-8 bytes of what is predicted: the documents' text, or the answers."""


def select_held_out(tokens: Path, stream: TokenShard, max_tokens: int) -> HeldOut:
    """Return the longest run of whole documents from the start of the stream that has at most `max_tokens` tokens.

    Args:
        tokens: a tokens artifact, read for its `documents.parquet`.
        stream: its held-out tokens.
        max_tokens: limit, in tokens.

    Raises:
        StageError: there is no held-out document, or none with text, the first is already over the limit, or the
            documents do not fill the stream.
    """
    table = parquet.read_table(
        tokens / "documents.parquet", columns=["document_id", "split", "start", "bytes"]
    )
    table = table.filter(compute.equal(table["split"], "held_out")).sort_by("start")
    starts: list[int] = table["start"].to_pylist()
    if not starts:
        raise StageError(
            "evaluate: no held-out document: raise data.held_out_fraction or give more documents"
        )
    # A document ends where the next one starts: true whether or not its own count includes the boundary tokens.
    ends = [*starts[1:], len(stream)]
    if starts[0] != 0 or starts[-1] >= len(stream) or len(set(starts)) != len(starts):
        raise StageError(
            f"evaluate: {tokens}: documents.parquet does not describe held_out.bin: delete this folder and run again"
        )
    count = sum(end <= max_tokens for end in ends)
    if count == 0:
        raise StageError(
            f"evaluate.held_out_max_tokens: {max_tokens} ends inside the first held-out document: "
            f"set at least {ends[0]}"
        )
    sizes = table["bytes"].to_pylist()[:count]
    if not sum(sizes):
        raise StageError(
            "evaluate: the held-out documents have no text: raise data.held_out_fraction or give more documents"
        )
    measured = ends[count - 1]
    learnt = None if stream.labels is None else np.count_nonzero(stream.labels[1:measured] & LEARNT)
    return HeldOut(
        document_ids=tuple(table["document_id"].to_pylist()[:count]),
        ends=tuple(ends[:count]),
        document_bytes=tuple(sizes),
        tokens=measured,
        predicted_tokens=measured - 1 if learnt is None else int(learnt),
        bytes=sum(sizes),
    )


def without_documents(
    stream: TokenShard, held_out: HeldOut, keep: Sequence[bool]
) -> tuple[TokenShard, HeldOut]:
    """Return the measured part of the stream without some documents, in memory, and what is measured of it.

    Args:
        stream: held-out tokens.
        held_out: what `select_held_out` returned of them.
        keep: for each of its documents whether it stays; one does.
    """
    spans = list(zip((0, *held_out.ends[:-1]), held_out.ends, strict=True))
    kept = [place for place, stays in enumerate(keep) if stays]
    if stream.labels is None:
        flat = np.concatenate([stream.tokens[slice(*spans[place])] for place in kept])
        ends = np.cumsum([spans[place][1] - spans[place][0] for place in kept]).tolist()
        left, predicted = TokenShard(flat), len(flat) - 1
    else:
        # Conversations stay where they are packed, and nothing counts in those that are left out.
        ends = [held_out.ends[place] for place in kept]
        labels = stream.labels[: ends[-1]].copy()
        for place in set(range(len(spans))) - set(kept):
            labels[slice(*spans[place])] &= ~np.uint8(LEARNT)
        left = replace(stream, tokens=stream.tokens[: ends[-1]], labels=labels)
        predicted = int(np.count_nonzero(labels[1:] & LEARNT))
    sizes = tuple(held_out.document_bytes[place] for place in kept)
    return left, HeldOut(
        document_ids=tuple(held_out.document_ids[place] for place in kept),
        ends=tuple(ends),
        document_bytes=sizes,
        tokens=ends[-1],
        predicted_tokens=predicted,
        bytes=sum(sizes),
    )
