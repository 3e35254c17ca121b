"""How well the model predicts a stream of tokens it has not seen."""

from __future__ import annotations

import math

import numpy as np
import torch

from forge.data.boundaries import document_positions, positions_from
from forge.data.loading import BEGINS, IGNORED, LEARNT, TokenShard
from forge.errors import StageError
from forge.progress import Progress


@torch.inference_mode()
def stream_loss_nats(
    model: torch.nn.Module,
    shard: TokenShard,
    tokens: int,
    sequence_length: int,
    batch_sequences: int,
    bos_id: int,
    eos_id: int,
    progress: Progress,
) -> float:
    """Return the summed cross-entropy, in nats, of tokens 1 .. `tokens` - 1 of the stream, or of the answers in it.

    The stream is cut into windows of `sequence_length` inputs; the last token of a window is the first input of
    the next, so each token but the first is predicted exactly once. A token is predicted from those before it in its
    document and its window, as in training, which makes the sum an upper bound on what a sliding window would give.
    Logits are taken to fp32, sums to fp64.

    Args:
        model: maps ids [n, length] to `.logits` [n, length, vocabulary]; attention does not go back over a position 0,
            as transformers sees to.
        shard: the stream.
        tokens: how many tokens from its start to measure, at least 2.
        sequence_length: inputs in a window.
        batch_sequences: windows in a forward pass.
        bos_id: what a document begins with.
        eos_id: what it ends with.
        progress: told of predicted tokens.

    Raises:
        StageError: the loss is not finite.
    """
    device = next(model.parameters()).device
    predicted = tokens - 1
    progress.start(predicted, "tokens")
    total_nats = 0.0
    for start, rows, length in window_blocks(predicted, sequence_length, batch_sequences):
        flat = np.asarray(shard.window(start, rows * length + 1), dtype=np.int64)
        ids = flat[:-1].reshape(rows, length)
        targets = flat[1:].copy()
        if shard.labels is None:
            places = document_positions(ids, bos_id, eos_id)
        else:
            labels = shard.labels[start : start + rows * length + 1]
            places = positions_from((labels[:-1] & BEGINS != 0).reshape(rows, length))
            targets[labels[1:] & LEARNT == 0] = IGNORED
        positions = torch.from_numpy(places).to(device)
        logits = model(
            input_ids=torch.from_numpy(ids).to(device), position_ids=positions, use_cache=False
        ).logits
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(),
            torch.from_numpy(targets).to(device),
            reduction="none",
            ignore_index=IGNORED,
        )
        total_nats += float(losses.double().sum())
        progress.advance(rows * length)
    if not math.isfinite(total_nats):
        raise StageError(
            f"evaluate: held-out loss is {total_nats}: the trained weights are broken, train again"
        )
    return total_nats


def window_blocks(predicted: int, sequence_length: int, batch_sequences: int) -> list[tuple[int, int, int]]:
    """Return (first input position, windows, window length) of each forward pass over `predicted` inputs.

    All windows of a pass have the same length, so nothing is padded: full ones, then the remainder by itself.
    """
    full, rest = divmod(predicted, sequence_length)
    blocks = [
        (first * sequence_length, min(batch_sequences, full - first), sequence_length)
        for first in range(0, full, batch_sequences)
    ]
    return [*blocks, (full * sequence_length, 1, rest)] if rest else blocks
