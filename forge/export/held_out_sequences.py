"""Text that was kept out of training, as the tokens a model is measured on."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as compute
import pyarrow.parquet as parquet

from forge.data.loading import TokenShard

POSITIONS = 192
SEQUENCE_TOKENS = 49


def held_out_sequences(tokens: Path, context_tokens: int) -> list[list[int]]:
    """Return the heads of held-out documents, with about `POSITIONS` tokens to predict in all.

    Args:
        tokens: a tokens artifact.
        context_tokens: most that a sequence may have.
    """
    stream = TokenShard.open(tokens, "held_out").tokens
    table = parquet.read_table(tokens / "documents.parquet", columns=["split", "start", "tokens"])
    table = table.filter(compute.equal(table["split"], "held_out")).sort_by("start")
    limit = min(SEQUENCE_TOKENS, context_tokens)
    sequences: list[list[int]] = []
    positions = 0
    for start, count in zip(table["start"].to_pylist(), table["tokens"].to_pylist(), strict=True):
        if positions >= POSITIONS:
            break
        if count > 1:
            sequences.append([int(token) for token in stream[start : start + min(count, limit)]])
            positions += len(sequences[-1]) - 1
    return sequences
