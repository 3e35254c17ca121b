from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.element_file import HASH
from forge.data.parities import most_shared, parities_of
from forge.data.sets import Sets

SOME = st.lists(st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 30), max_size=30), min_size=2, max_size=8)


@settings(max_examples=100, deadline=None)
@given(some=SOME)
def test_no_two_sets_share_more_than_their_parities_allow(some: list[set[int]]) -> None:
    sets = Sets.of([np.array(sorted(one), np.uint64) for one in some])
    words = parities_of(sets.flat * HASH, sets.counts)
    ones, others = np.triu_indices(len(some))
    most = most_shared(words[ones], words[others], sets.counts[ones] + sets.counts[others])
    for one, other, bound in zip(ones.tolist(), others.tolist(), most.tolist(), strict=True):
        assert len(some[one] & some[other]) <= bound
    same = ones == others
    assert most[same].tolist() == sets.counts.tolist()


def test_sets_that_share_nothing_are_told_apart() -> None:
    source = np.random.default_rng(2)
    sets = Sets.of([np.sort(source.integers(0, 2**63, 100, np.uint64)) for _ in range(50)])
    words = parities_of(sets.flat * HASH, sets.counts)
    ones, others = np.triu_indices(50, 1)
    assert most_shared(words[ones], words[others], np.full(len(ones), 200)).max() < 50
