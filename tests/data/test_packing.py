import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.packing import best_fit, concatenate

LENGTHS = st.lists(st.integers(2, 90), max_size=60)


@given(lengths=LENGTHS, capacity=st.integers(2, 32))
def test_every_token_has_one_place_and_only_long_documents_are_cut(lengths: list[int], capacity: int) -> None:
    packing = best_fit(np.array(lengths, np.int64), capacity)
    ends = packing.start + packing.tokens
    assert (packing.start[1:] >= ends[:-1]).all()
    assert (packing.start // capacity == (ends - 1) // capacity).all()
    assert not len(ends) or ends.max() <= packing.sequences * capacity
    for document, length in enumerate(lengths):
        own = packing.document == document
        order = np.argsort(packing.offset[own])
        pieces = list(
            zip(packing.offset[own][order].tolist(), packing.tokens[own][order].tolist(), strict=True)
        )
        assert sum(tokens for _, tokens in pieces) == length
        assert [offset for offset, _ in pieces] == [number * capacity for number in range(len(pieces))]
        assert len(pieces) == -(-length // capacity)


@given(lengths=LENGTHS, capacity=st.integers(2, 32))
def test_no_more_sequences_than_first_fit_decreasing_may_need(lengths: list[int], capacity: int) -> None:
    # Johnson 1973: best fit decreasing opens at most 11/9 of the optimum plus a few; the optimum holds all tokens.
    packing = best_fit(np.array(lengths, np.int64), capacity)
    halves = sum(length % capacity > capacity / 2 for length in lengths) + sum(
        length // capacity for length in lengths
    )
    least = max(-(-sum(lengths) // capacity), halves)
    assert packing.sequences <= 11 / 9 * 1.5 * least + 4


def test_documents_of_many_lengths_leave_little_padding() -> None:
    lengths = np.random.default_rng(1).lognormal(5.5, 1.0, 20_000).astype(np.int64) + 2
    packing = best_fit(lengths, 2_048)
    assert 1 - lengths.sum() / (packing.sequences * 2_048) < 0.01
    cut = len(np.unique(packing.document[packing.offset > 0])) / len(lengths)
    assert cut == (lengths > 2_048).mean() < 0.02


def test_concatenation_has_no_gaps() -> None:
    packing = concatenate(np.array([3, 4, 5]))
    assert packing.start.tolist() == [0, 3, 7]
    assert packing.tokens.tolist() == [3, 4, 5]
