"""How many tokens the documents make: bytes a token on a sample, and how sure that is."""

from __future__ import annotations

import hashlib
import heapq
import os
from dataclasses import dataclass

import numpy as np

from forge.data.tokenizer import QWEN2_PATTERN

SAMPLE_BYTES = 6_000_000
PIECE_CHARACTERS = 20_000
VOCAB_SIZE = 32_768
RESAMPLES = 1_000
LEAST_PIECES = 8
USUAL_BYTES_PER_TOKEN = (3.0, 4.0, 5.0)
"""Low, middle, high for prose in Latin script, where there is too little text to learn from."""


@dataclass(frozen=True, slots=True)
class BytesPerToken:
    """UTF-8 bytes a token, with a 95 % interval."""

    middle: float
    low: float
    high: float
    how: str

    def tokens(self, size_bytes: int) -> tuple[int, int, int]:
        """Return (middle, low, high) tokens of `size_bytes` of text."""
        return round(size_bytes / self.middle), round(size_bytes / self.high), round(size_bytes / self.low)


class Sample:
    """A fair sample of pieces of documents, the same for the same documents in any order."""

    def __init__(self, sample_bytes: int = SAMPLE_BYTES) -> None:
        self._sample_bytes = sample_bytes
        self._held = 0
        # Largest hash first, so that the piece to give up is on top.
        self._heap: list[tuple[int, str, str]] = []

    def add(self, document_id: str, text: str) -> None:
        """Offer a document: its first piece."""
        rank = int.from_bytes(hashlib.sha256(document_id.encode()).digest()[:8], "big")
        if self._held >= self._sample_bytes and -rank <= self._heap[0][0]:
            return
        piece = text[:PIECE_CHARACTERS]
        heapq.heappush(self._heap, (-rank, document_id, piece))
        self._held += len(piece)
        while self._held - len(self._heap[0][2]) >= self._sample_bytes:
            self._held -= len(heapq.heappop(self._heap)[2])

    def pieces(self) -> list[str]:
        """Return the pieces in the order of their hashes."""
        return [piece for _, _, piece in sorted(self._heap, reverse=True)]


def bytes_per_token(pieces: list[str]) -> BytesPerToken:
    """Learn a byte-level BPE on every second piece and count the tokens of the others.

    The interval is a bootstrap over pieces (Efron 1979): how sure the sample is, not what another tokenizer does.
    """
    learnt, counted = pieces[::2], pieces[1::2]
    if len(counted) < LEAST_PIECES:
        low, middle, high = USUAL_BYTES_PER_TOKEN
        return BytesPerToken(
            middle, low, high, f"{len(pieces)} documents are too few to measure: usual values for prose"
        )
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(learnt, trainer)
    sizes = np.array([len(piece.encode()) for piece in counted], float)
    tokens = np.array([len(one.ids) for one in tokenizer.encode_batch_fast(counted)], float)
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(counted), (RESAMPLES, len(counted)))
    ratios = sizes[draws].sum(1) / np.maximum(1, tokens[draws].sum(1))
    low, high = np.quantile(ratios, [0.025, 0.975]).tolist()
    how = (
        f"a byte-level BPE of {tokenizer.get_vocab_size():,} tokens learnt on {len(learnt):,} sampled documents, "
        f"counted on {len(counted):,} others ({sizes.sum() / 1e6:.2f} MB); 95 % bootstrap interval over documents"
    )
    return BytesPerToken(float(sizes.sum() / max(1, tokens.sum())), low, high, how)
