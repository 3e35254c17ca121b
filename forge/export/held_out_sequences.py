"""Text that was kept out of training, as the tokens a model is measured on."""

from __future__ import annotations

import json
from pathlib import Path

from forge.data.loading import TokenShard

POSITIONS = 192
SEQUENCE_TOKENS = 49


def held_out_sequences(tokens: Path, context_tokens: int) -> list[list[int]]:
    """Return the heads of held-out documents, each from its BOS on, with about `POSITIONS` tokens to predict.

    Args:
        tokens: a tokens artifact.
        context_tokens: most that a sequence may have.
    """
    facts = json.loads((tokens / "tokens.json").read_text(encoding="utf-8"))
    stream = TokenShard.open(tokens, "held_out").tokens
    limit = min(SEQUENCE_TOKENS, context_tokens)
    sequences: list[list[int]] = []
    positions = 0
    for token in map(int, stream):
        if token == facts["bos_id"]:
            if positions >= POSITIONS:
                break
            sequences.append([])
        if sequences and len(sequences[-1]) < limit:
            sequences[-1].append(token)
            positions += len(sequences[-1]) > 1
    return [sequence for sequence in sequences if len(sequence) > 1]
