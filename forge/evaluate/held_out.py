"""Which held-out documents are measured: as many whole ones as the token limit allows, in the order of the stream.

Cutting between documents keeps the byte count exact, so bits per byte compare fairly with any other compressor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.loading import LEARNT, TokenShard
from forge.errors import StageError


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The measured head of the held-out stream."""

    document_ids: tuple[str, ...]
    """In the order of the stream."""
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
        StageError: there is no held-out document, the first is already over the limit, or the documents do not
            fill the stream.
    """
    table = _held_out_documents(tokens)
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
    measured = ends[count - 1]
    learnt = None if stream.labels is None else np.count_nonzero(stream.labels[1:measured] & LEARNT)
    return HeldOut(
        document_ids=tuple(table["document_id"].to_pylist()[:count]),
        tokens=measured,
        predicted_tokens=measured - 1 if learnt is None else int(learnt),
        bytes=sum(table["bytes"].to_pylist()[:count]),
    )


def without_documents(
    tokens: Path, stream: TokenShard, held_out: HeldOut, keep: Sequence[bool]
) -> tuple[TokenShard, HeldOut]:
    """Return the measured part of the stream without some documents, in memory, and what is measured of it.

    Args:
        tokens: the tokens artifact of `stream`.
        stream: its held-out tokens.
        held_out: what `select_held_out` returned.
        keep: for each of its documents whether it stays; one does.
    """
    table = _held_out_documents(tokens).slice(0, len(keep))
    starts = table["start"].to_pylist()
    spans = list(zip(starts, [*starts[1:], held_out.tokens], strict=True))
    flat = stream.tokens[: held_out.tokens]
    if stream.labels is None:
        flat = np.concatenate(
            [flat[first:last] for (first, last), stays in zip(spans, keep, strict=True) if stays]
        )
        left = TokenShard(flat)
        predicted = len(flat) - 1
    else:
        # Conversations stay where they are packed, and nothing in them counts.
        labels = stream.labels[: held_out.tokens].copy()
        for (first, last), stays in zip(spans, keep, strict=True):
            if not stays:
                labels[first:last] &= ~np.uint8(LEARNT)
        left = replace(stream, tokens=flat, labels=labels)
        predicted = int(np.count_nonzero(labels[1:] & LEARNT))
    sizes = table["bytes"].to_pylist()
    return left, HeldOut(
        document_ids=tuple(name for name, stays in zip(held_out.document_ids, keep, strict=True) if stays),
        tokens=len(flat),
        predicted_tokens=predicted,
        bytes=sum(size for size, stays in zip(sizes, keep, strict=True) if stays),
    )


def _held_out_documents(tokens: Path) -> pa.Table:
    """Return the table of held-out documents in the order of the stream."""
    table = parquet.read_table(
        tokens / "documents.parquet", columns=["document_id", "split", "start", "bytes"]
    )
    return table.filter(compute.equal(table["split"], "held_out")).sort_by("start")
