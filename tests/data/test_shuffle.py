import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.shuffle import permute


@given(count=st.integers(1, 3_000), seed=st.integers(0, 2**70), epoch=st.integers(0, 2**40))
def test_it_is_a_bijection(count: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(count), count, seed, epoch).tolist()) == list(range(count))


@given(
    count=st.integers(2**40, 2**62),
    places=st.lists(st.integers(0, 2**40 - 1), min_size=2, unique=True),
    seed=st.integers(0, 9),
)
def test_of_any_number_without_memory(count: int, places: list[int], seed: int) -> None:
    found = permute(np.array(places), count, seed, 0)
    assert len(set(found.tolist())) == len(places)
    assert found.min() >= 0
    assert found.max() < count


def test_places_can_be_asked_one_at_a_time() -> None:
    whole = permute(np.arange(100), 100, 5, 1)
    assert [int(permute(np.array([place]), 100, 5, 1)[0]) for place in range(100)] == whole.tolist()


def test_it_looks_random() -> None:
    # Of 100,000 pairs of neighbours, near ones stay near as often as chance has it (0.2 %, here within a third).
    found = permute(np.arange(100_000), 100_000, 1, 0)
    near = np.abs(np.diff(found)) <= 100
    assert 0.0013 < near.mean() < 0.0027
    # Each tenth of the order draws evenly from each tenth.
    counts = np.histogram2d(np.arange(100_000), found, bins=10)[0]
    assert abs(counts - 1_000).max() < 150
