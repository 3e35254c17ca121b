from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.digests import Digests, same_hashes

KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), unique=True, max_size=25)


@given(KEYS, KEYS)
def test_a_hash_is_found_where_it_is(own: list[tuple[int, int]], wanted: list[tuple[int, int]]) -> None:
    digests = Digests(np.array(own, np.uint64).reshape(-1, 2))
    found = digests.find(np.array(wanted, np.uint64).reshape(-1, 2)).tolist()
    assert found == [own.index(one) if one in own else -1 for one in wanted]
    assert [own[place] for place in digests.order] == sorted(own)
    assert digests.ranks().tolist() == [sorted(own).index(one) for one in own]


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=25))
def test_the_same_hashes_have_one_number(hashes: list[tuple[int, ...]]) -> None:
    numbers, firsts = same_hashes(np.array(hashes, np.uint64).reshape(-1, 4))
    distinct = list(dict.fromkeys(hashes))
    assert numbers.tolist() == [distinct.index(one) for one in hashes]
    assert firsts.tolist() == [hashes.index(one) for one in distinct]
