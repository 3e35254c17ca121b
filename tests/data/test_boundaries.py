from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.boundaries import document_positions, document_spans

BOS, EOS, PAD = 0, 1, 2
ids = st.integers(1, 4).flatmap(
    lambda rows: st.integers(1, 12).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(0, 4), min_size=length, max_size=length), min_size=rows, max_size=rows
        )
    )
)


def test_whole_cut_and_padding_documents() -> None:
    row = [5, 6, EOS, BOS, 7, EOS, 8, 9, EOS, PAD, PAD]
    positions = document_positions(np.array([row, [BOS, *[4] * 10]]), BOS, EOS)
    assert positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1], list(range(11))]
    assert document_spans(positions) == ((0, 0, 3), (0, 3, 6), (0, 6, 9), (0, 9, 11), (1, 0, 11))


@given(ids)
def test_spans_cover_every_token_once_and_begin_where_documents_do(rows: list[list[int]]) -> None:
    positions = document_positions(np.array(rows), BOS, EOS)
    spans = document_spans(positions)
    covered = [(row, place) for row, first, end in spans for place in range(first, end)]
    assert covered == [(row, place) for row in range(len(rows)) for place in range(len(rows[0]))]
    for row, first, end in spans:
        assert positions[row, first:end].tolist() == list(range(end - first))
        assert first == 0 or rows[row][first] == BOS or rows[row][first - 1] == EOS
        inside = rows[row][first:end]
        assert BOS not in inside[1:]
        assert EOS not in inside[:-1]
