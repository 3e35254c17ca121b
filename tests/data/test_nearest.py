from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.nearest import Nearest

PAIRS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0.5, 0.75, 0.8])).filter(
        lambda pair: pair[0] != pair[1]
    ),
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(blocks=st.lists(PAIRS, max_size=4), ranks=st.permutations(range(7)))
def test_the_closest_has_the_highest_jaccard_and_then_the_lowest_rank(
    blocks: list[list[tuple[int, int, float]]], ranks: list[int]
) -> None:
    nearest = Nearest(np.array(ranks))
    for pairs in blocks:
        one, two = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))
        nearest.note(one, two, np.array([pair[2] for pair in pairs], np.float64))
    for number in range(7):
        met = [(-pair[2], ranks[pair[1]], pair[1]) for pairs in blocks for pair in pairs if pair[0] == number]
        jaccard, _, closest = min(met, default=(0.0, 0, number))
        assert (nearest.closest[number], nearest.jaccards[number]) == (closest, -jaccard)
