"""Token sequences that two models are compared on."""

from __future__ import annotations

import random

from tokenizers import Tokenizer

from forge.export.hard_strings import HARD_STRINGS

SEED = 20_252
RANDOM_SEQUENCE_TOKENS = (1, 2, 17, 64, 128)
SEQUENCE_LIMIT_TOKENS = 128


def probe_sequences(tokenizer: Tokenizer, vocab_size: int, context_tokens: int) -> list[list[int]]:
    """Return fixed text and seeded random ids, none longer than the model's context."""
    limit = min(SEQUENCE_LIMIT_TOKENS, context_tokens)
    source = random.Random(SEED)
    text = [tokenizer.encode(string).ids[:limit] for string in HARD_STRINGS if string]
    noise = [
        [source.randrange(vocab_size) for _ in range(min(length, limit))] for length in RANDOM_SEQUENCE_TOKENS
    ]
    return text + noise
