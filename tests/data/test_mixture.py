import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.mixture import mixed

DOCUMENTS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 100)), min_size=1, max_size=40)


@given(documents=DOCUMENTS, weight=st.floats(0, 4))
def test_each_source_has_its_weight_to_within_half_a_document(
    documents: list[tuple[str, int]], weight: float
) -> None:
    sources, sizes = [source for source, _ in documents], np.array([size for _, size in documents])
    order = mixed(sources, sizes, {"a": weight})
    for source, wanted in (("a", weight), ("b", 1.0)):
        own = np.array([one == source for one in sources])
        tokens = sum(int(sizes[place]) for place in order.tolist() if own[place])
        largest = int(sizes[own].max(initial=0))
        assert abs(tokens - wanted * int(sizes[own].sum())) <= largest / 2 + 1e-6
        times = np.bincount(order, minlength=len(sizes))[own]
        assert not len(times) or times.max() - times.min() <= 1


def test_rounds_come_one_after_the_other() -> None:
    assert mixed(["a", "b", "a"], np.array([1, 1, 1]), {"a": 2.0}).tolist() == [0, 1, 2, 0, 2]


def test_nothing_of_a_source_with_weight_zero() -> None:
    assert mixed(["a", "b"], np.array([1, 1]), {"a": 0.0}).tolist() == [1]
