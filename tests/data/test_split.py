import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.split import held_out_families
from forge.errors import StageError


def held_out_groups(groups: list[str], sizes: list[int], fraction: float, seed: int) -> set[str]:
    """Return the families that are held out, each known to be whole."""
    names = list(dict.fromkeys(groups))
    heads = np.array([names.index(group) for group in groups], np.int64)
    found = held_out_families(heads, np.array(sizes, np.int64), names.__getitem__, fraction, seed)
    own = {group for group, held_out in zip(groups, found.tolist(), strict=True) if held_out}
    assert found.tolist() == [group in own for group in groups]
    return own


@given(
    families=st.lists(st.integers(1, 1_000), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.9),
    seed=st.integers(0, 1_000),
)
def test_whole_families_within_the_fraction(families: list[int], fraction: float, seed: int) -> None:
    groups = [f"g{number}" for number, size in enumerate(families) for _ in range(2)]
    sizes = [size for size in families for _ in range(2)]
    total = sum(sizes)
    try:
        chosen = held_out_groups(groups, sizes, fraction, seed)
    except StageError:
        assert 2 * min(families) > fraction * total
        return
    held_out = sum(size for group, size in zip(groups, sizes, strict=True) if group in chosen)
    assert 0 < held_out <= fraction * total + 1e-6
    assert chosen < set(groups)
    # Full: no family that was left would have fitted.
    left = [2 * size for number, size in enumerate(families) if f"g{number}" not in chosen]
    assert len(left) == 1 or all(held_out + size > fraction * total - 1e-6 for size in left)


def test_the_seed_decides_and_the_order_of_documents_does_not() -> None:
    groups = [f"g{number}" for number in range(100)]
    first = held_out_groups(groups, [10] * 100, 0.1, 1)
    assert len(first) == 10
    assert held_out_groups(groups[::-1], [10] * 100, 0.1, 1) == first
    assert held_out_groups(groups, [10] * 100, 0.1, 2) != first


def test_a_huge_family_goes_to_training() -> None:
    for seed in range(20):
        assert held_out_groups(["huge"] * 90 + ["a", "b"], [10] * 92, 0.1, seed) <= {"a", "b"}


def test_one_family_cannot_be_split() -> None:
    with pytest.raises(StageError, match="3 documents are one family of near copies") as error:
        held_out_groups(["a", "a", "a"], [1, 1, 1], 0.5, 1)
    assert len(error.value.lines) == 1


def test_too_few_documents_get_a_fraction_that_works() -> None:
    groups, sizes = list("abcdefg"), [100] * 7
    with pytest.raises(StageError, match=r"data\.held_out_fraction=0\.143 or give more documents"):
        held_out_groups(groups, sizes, 0.05, 1)
    assert len(held_out_groups(groups, sizes, 0.143, 1)) == 1
