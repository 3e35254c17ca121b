from __future__ import annotations

import lzma
import math

import numpy as np
import pytest

from forge.data.loading import LEARNT, TokenShard
from forge.evaluate import baselines
from forge.progress import SilentProgress


def shard(*tokens: int) -> TokenShard:
    return TokenShard(np.array(tokens, dtype=np.uint16))


def test_unigram_is_counted_by_hand() -> None:
    train, held_out = shard(0, 1, 1, 1), shard(3, 1, 0, 3, 2, 2)
    # Five of vocabulary; counts + 1 over 4 + 5: token 0 2/9, 1 4/9, 2 and 3 1/9. The first token is not predicted.
    expected = -(math.log2(4 / 9) + math.log2(2 / 9) + math.log2(1 / 9))
    assert baselines.unigram_bits(train, held_out, 4, 5, SilentProgress()) == pytest.approx(expected)


def test_of_conversations_the_unigram_knows_and_predicts_answers() -> None:
    labels = np.array([2, 0, LEARNT, LEARNT], np.uint8)
    train, held_out = (
        TokenShard(np.array(ids, np.uint16), labels=labels) for ids in ([0, 3, 1, 1], [0, 2, 1, 3])
    )
    # Two answers' tokens, five of vocabulary: token 1 3/7, 3 1/7.
    expected = -(math.log2(3 / 7) + math.log2(1 / 7))
    assert baselines.unigram_bits(train, held_out, 4, 5, SilentProgress()) == pytest.approx(expected)


def test_unigram_does_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    source = np.random.default_rng(0)
    train, held_out = (shard(*source.integers(0, 50, count)) for count in (1_000, 333))
    whole = baselines.unigram_bits(train, held_out, 333, 50, SilentProgress())
    monkeypatch.setattr(baselines, "COUNT_BLOCK_TOKENS", 7)
    assert baselines.unigram_bits(train, held_out, 333, 50, SilentProgress()) == whole


def test_xz_of_parts_is_xz_of_the_whole() -> None:
    parts = [bytes([number % 251]) * number for number in range(300)]
    whole = lzma.compress(b"".join(parts), preset=baselines.XZ_PRESET)
    assert baselines.xz_bytes(parts, SilentProgress()) == len(whole)


def test_xz_dictionary_reaches_as_far_as_is_said() -> None:
    # The filter properties of an LZMA2 block name the dictionary: in the .xz block header after the filter id.
    stream = lzma.compress(b"x", format=lzma.FORMAT_XZ, preset=baselines.XZ_PRESET)
    flags = stream[12 + 4]
    assert (2 | (flags & 1)) << (flags // 2 + 11) == baselines.XZ_DICTIONARY_BYTES
