import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import kindred
from forge.data.duplicates import related_by_name, related_pairs
from forge.data.sets import Sets
from forge.progress import SilentProgress


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kindred, "BLOCK_ROWS", 5)


@settings(max_examples=60)
@given(
    documents=st.lists(
        st.tuples(st.frozensets(st.integers(0, 24), max_size=12), st.integers(-1, 3), st.integers(-1, 3)),
        max_size=24,
    ),
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
)
def test_the_pairs_are_those_of_a_join_of_all(
    documents: list[tuple[frozenset[int], int, int]], threshold: float
) -> None:
    sets = Sets.of([np.array(sorted(one), np.uint64) for one, _, _ in documents])
    names, titles = (np.array([one[place] for one in documents], np.int64) for place in (1, 2))

    def wanted(one: kindred.Ints, other: kindred.Ints, _: object) -> np.typing.NDArray[np.bool_]:
        return np.asarray(
            ((names[one] >= 0) & (names[one] == names[other]))
            | ((titles[one] >= 0) & (titles[one] == titles[other]))
        )

    found = related_by_name(sets, (names, titles), threshold)
    assert found == related_pairs(sets, threshold, wanted, SilentProgress())
