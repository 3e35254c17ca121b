"""What a rival without a neural network makes of the same held-out text, in bits per byte.

A model is worth its training when it stays below all of them.
"""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterable

import numpy as np

from forge.data.loading import LEARNT, TokenShard
from forge.progress import Progress

COUNT_BLOCK_TOKENS = 1 << 22

XZ_PRESET = 9 | lzma.PRESET_EXTREME
XZ_PRESET_NAME = "9e"
XZ_DICTIONARY_BYTES = 64 * 1024 * 1024
"""How far back preset 9 can refer (xz(1), table of presets). Text beyond it would not be remembered."""


def unigram_bits(
    train: TokenShard, held_out: TokenShard, tokens: int, vocab_size: int, progress: Progress
) -> float:
    """Return the bits a token unigram needs for tokens 1 .. `tokens` - 1 of the held-out stream.

    The unigram is the counts of the training stream with one added to each of the `vocab_size` tokens (Laplace). Of
    conversations it is answers that count, in both.
    """
    progress.start(len(train) + tokens - 1, "tokens")
    seen = len(train) if train.labels is None else int(np.count_nonzero(train.labels & LEARNT))
    counts = _count(train, 0, len(train), vocab_size, progress)
    wanted = _count(held_out, 1, tokens, vocab_size, progress)
    log2_probability = np.log2(counts + 1.0) - math.log2(seen + vocab_size)
    return float(-(wanted * log2_probability).sum())


def xz_bytes(parts: Iterable[bytes], progress: Progress) -> int:
    """Return the size, in bytes, of `parts` joined and compressed by xz at preset 9e. Needs up to 700 MB of memory."""
    compressor = lzma.LZMACompressor(preset=XZ_PRESET)
    size = 0
    for part in parts:
        size += len(compressor.compress(part))
        progress.advance(len(part))
    return size + len(compressor.flush())


def _count(shard: TokenShard, first: int, last: int, vocab_size: int, progress: Progress) -> np.ndarray:
    """Return how often each token occurs in positions first .. last - 1 of the stream."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(first, last, COUNT_BLOCK_TOKENS):
        length = min(COUNT_BLOCK_TOKENS, last - start)
        some = shard.window(start, length)
        if shard.labels is not None:
            some = some[shard.labels[start : start + length] & LEARNT != 0]
        counts += np.bincount(some, minlength=vocab_size)
        progress.advance(length)
    return counts
