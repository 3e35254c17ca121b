import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.components import Components


def by_walking(count: int, edges: list[tuple[int, int]]) -> list[int]:
    names = list(range(count))
    for _ in range(count):
        for one, two in edges:
            names[one] = names[two] = min(names[one], names[two])
    return names


@given(
    st.integers(1, 25).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(
                st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=15),
                max_size=5,
            ),
        )
    )
)
def test_nodes_joined_bear_the_smallest_name(case: tuple[int, list[list[tuple[int, int]]]]) -> None:
    count, blocks = case
    components = Components(count)
    for block in blocks:
        edges = np.array(block, dtype=np.int64).reshape(-1, 2)
        components.join(edges[:, 0], edges[:, 1])
    assert components.names().tolist() == by_walking(count, [edge for block in blocks for edge in block])


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40), st.integers(1, 9))
def test_the_edges_kept_are_a_forest_that_joins_the_same(edges: list[tuple[int, int]], block: int) -> None:
    components = Components(16)
    for first in range(0, len(edges), block):
        some = np.array(edges[first : first + block], np.int64)
        components.join(some[:, 0], some[:, 1])
    kept = [(one, two) for one, two in components.edges().T.tolist()]
    names = components.names().tolist()
    assert set(kept) <= set(edges)
    assert by_walking(16, kept) == names
    assert len(kept) == 16 - len(set(names))
    again = Components(16)
    again.take_over(np.arange(16), np.array(names), components.edges())
    assert again.names().tolist() == names
    assert again.edges().T.tolist() == [list(edge) for edge in kept]


def test_a_long_chain_is_one_component() -> None:
    components = Components(10_000)
    components.join(np.arange(9_999), np.arange(1, 10_000))
    assert set(components.names().tolist()) == {0}
