"""How often the trained model gains more on the preferred of two answers than on the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from forge.data.boundaries import positions_from
from forge.data.loading import BEGINS, IGNORED, TokenShard, load_batch
from forge.data.pairs import Reference, pairs_in
from forge.errors import StageError
from forge.progress import Progress


@torch.inference_mode()
def measure_preferences(
    model: torch.nn.Module,
    shard: TokenShard,
    reference: Reference,
    tokens: int,
    sequence_length: int,
    batch_sequences: int,
    beta: float,
    progress: Progress,
) -> dict[str, Any]:
    """Return what the model makes of held-out pairs: their number, loss, accuracy and margin.

    `accuracy` is the share of pairs whose margin, which the loss is the negative log-sigmoid of (Rafailov et al. 2023,
    eq. 7), is above 0; `chosen_likelier_fraction` that in which the preferred answer has the higher probability, and
    `reference_chosen_likelier_fraction` the same of the reference. `loss` is in nats a pair. Logits are taken to fp32,
    sums to fp64.

    Args:
        model: maps ids [n, length] to `.logits`; attention does not go back over a position 0.
        shard: the held-out pairs.
        reference: what the model was compared with in training.
        tokens: how many from the start of the stream to measure; pairs that end after them are left out.
        sequence_length: of the training.
        batch_sequences: sequences in a forward pass.
        beta: of the loss.
        progress: told of sequences.

    Raises:
        StageError: a margin is not finite, or the reference is of other tokens.
    """
    assert shard.labels is not None
    device = next(model.parameters()).device
    sequences = math.ceil((tokens - 1) / sequence_length)
    progress.start(sequences, "sequences")
    said, compared = [], []
    for first in range(0, sequences, batch_sequences):
        indices = np.arange(first, min(first + batch_sequences, sequences))
        inputs, targets = load_batch(shard, indices, sequence_length)
        labels = shard.labels[indices[:, None] * sequence_length + np.arange(sequence_length)]
        positions = torch.from_numpy(positions_from(labels & BEGINS != 0)).to(device)
        logits = model(
            input_ids=torch.from_numpy(inputs).to(device), position_ids=positions, use_cache=False
        ).logits
        wanted = torch.from_numpy(targets).to(device)
        nats = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), wanted.flatten(), reduction="none", ignore_index=IGNORED
        )
        sums = np.cumsum(nats.double().cpu().numpy().reshape(targets.shape), axis=1)
        sums = np.pad(sums, ((0, 0), (1, 0)))
        pairs = pairs_in(shard, indices, sequence_length)
        pairs = pairs.where(pairs.start + pairs.end - pairs.chosen <= tokens)
        at = [sums[pairs.row, place] for place in (pairs.chosen, pairs.rejected, pairs.end)]
        said.append(-np.stack([at[1] - at[0], at[2] - at[1]], axis=1))
        compared.append(reference.of(pairs))
        progress.advance(len(indices))
    found, given = np.concatenate(said), np.concatenate(compared).astype(np.float64)
    gain = found - given
    margin = beta * (gain[:, 0] - gain[:, 1])
    if not np.isfinite(margin).all():
        raise StageError("evaluate: margins of held-out pairs are not finite: the trained weights are broken")
    return {
        "pairs": len(margin),
        "loss": float(np.mean(np.logaddexp(0.0, -margin))),
        "accuracy": float(np.mean(margin > 0)),
        "reward_margin": float(np.mean(margin)),
        "chosen_likelier_fraction": float(np.mean(found[:, 0] > found[:, 1])),
        "reference_chosen_likelier_fraction": float(np.mean(given[:, 0] > given[:, 1])),
    }
