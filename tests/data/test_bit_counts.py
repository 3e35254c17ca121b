from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.bit_counts import BitCounts


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_each_bit_of_each_row_is_counted(lengths: list[int], seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2**64, sum(lengths), np.uint64)
    words[: len(words) // 2] = np.uint64(2**64 - 1)
    ends = np.cumsum(lengths)
    expected = [
        [sum(word >> bit & 1 for word in words[end - length : end].tolist()) for bit in range(64)]
        for length, end in zip(lengths, ends.tolist(), strict=True)
    ]
    rows, bits = np.divmod(np.arange(64 * len(lengths)), 64)
    found = BitCounts(words, np.array(lengths)).of(rows, bits)
    assert found.reshape(-1, 64).tolist() == expected


def test_a_row_without_words_counts_nothing() -> None:
    counts = BitCounts(np.empty(0, np.uint64), np.array([0, 0]))
    assert counts.of(np.array([1]), np.array([3])).tolist() == [0]
    none = BitCounts(np.empty(0, np.uint64), np.empty(0, np.int64))
    assert none.of(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []
