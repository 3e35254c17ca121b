"""How well the model predicts a stream of tokens it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from forge.data.boundaries import document_positions, positions_from
from forge.data.loading import BEGINS, IGNORED, LEARNT, TokenShard
from forge.errors import StageError
from forge.progress import Progress


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

    As `document_loss_nats`, of one document.
    """
    return float(
        document_loss_nats(
            model, shard, [tokens], sequence_length, batch_sequences, bos_id, eos_id, progress
        ).sum()
    )


@torch.inference_mode()
def document_loss_nats(
    model: torch.nn.Module,
    shard: TokenShard,
    ends: Sequence[int],
    sequence_length: int,
    batch_sequences: int,
    bos_id: int,
    eos_id: int,
    progress: Progress,
) -> npt.NDArray[np.float64]:
    """Return the cross-entropy of each document's tokens (but the first of all), or of its answers, in nats.

    The stream is cut into windows of `sequence_length` inputs; the last token of a window is the first input of
    the next, so each token but the first is predicted exactly once. A token is predicted from those before it in its
    document and its window, as in training, which makes the sum an upper bound on what a sliding window would give.
    Logits are taken to fp32, sums to fp64.

    Args:
        model: maps ids [n, length] to `.logits` [n, length, vocabulary]; attention does not go back over a position 0,
            as transformers sees to.
        shard: the stream.
        ends: where documents from the start of the stream on end, in tokens; the last is at least 2.
        sequence_length: inputs in a window.
        batch_sequences: windows in a forward pass.
        bos_id: what a document begins with.
        eos_id: what it ends with.
        progress: told of predicted tokens.

    Raises:
        StageError: the loss is not finite.
    """
    device = next(model.parameters()).device
    predicted = ends[-1] - 1
    progress.start(predicted, "tokens")
    nats = np.zeros(len(ends), np.float64)
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
        owners = np.searchsorted(ends, np.arange(start + 1, start + 1 + rows * length), side="right")
        nats += np.bincount(owners, losses.double().cpu().numpy(), minlength=len(ends))
        progress.advance(rows * length)
    if not math.isfinite(nats.sum()):
        raise StageError(
            f"evaluate: held-out loss is {nats.sum()}: the trained weights are broken, train again"
        )
    return nats


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
