from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import joins
from forge.data.joins import Join, join_sets, read_join, write_join
from forge.data.sets import set_digest
from forge.progress import SilentProgress
from tests.data.test_similarity import arrays, near_copies

Sets = list[npt.NDArray[np.uint64]]


def join(sets: Sets, threshold: float, earlier: Join | None = None) -> Join:
    digests = np.frombuffer(b"".join(map(set_digest, sets)), np.uint64).reshape(-1, 2)
    return join_sets(sets, digests, threshold, earlier, SilentProgress())


def through_a_file(path: Path, sets: Sets, found: Join, threshold: float) -> Join:
    write_join(path, found, np.array([len(one) for one in sets], np.int64), threshold)
    read = read_join(path, threshold)
    assert read is not None
    return read


def same(one: Join, two: Join) -> None:
    assert one.components.tolist() == two.components.tolist()
    assert one.closest.tolist() == two.closest.tolist()
    assert one.jaccards.tolist() == two.jaccards.tolist()


DISTINCT = st.lists(st.frozensets(st.integers(0, 12), min_size=1, max_size=9), unique=True, max_size=24)


@settings(max_examples=300, deadline=None)
@given(all_sets=DISTINCT, threshold=st.sampled_from([0.3, 0.5, 0.8]), data=st.data())
def test_whatever_came_and_went_a_join_is_that_of_a_whole_pass(
    tmp_path_factory: pytest.TempPathFactory,
    all_sets: list[frozenset[int]],
    threshold: float,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    few = st.sets(st.integers(0, max(0, len(all_sets) - 1)), max_size=6)
    gone, come = data.draw(few), data.draw(few)
    before = arrays([set(one) for place, one in enumerate(all_sets) if place not in come])
    after = arrays([set(one) for place, one in enumerate(all_sets) if place not in gone])
    after = [after[place] for place in data.draw(st.permutations(range(len(after))))]
    known = through_a_file(folder / "before", before, join(before, threshold), threshold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joins, "MOST_NEW", 1.0)
        found = join(after, threshold, known)
    whole = join(after, threshold)
    same(found, whole)
    through_a_file(folder / "one", after, found, threshold)
    through_a_file(folder / "two", after, whole, threshold)
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_a_hundredth_more_compares_a_hundredth(tmp_path: Path) -> None:
    sets = arrays(near_copies(8, families=60, copies=10, size=40))
    sets = list({set_digest(one): one for one in sets}.values())
    new = len(sets) // 100
    known = through_a_file(tmp_path / "join", sets[new:], join(sets[new:], 0.6), 0.6)
    found = join(sets, 0.6, known)
    assert len(sets) > 500
    assert found.compared == new
    whole = join(sets, 0.6)
    assert whole.compared == len(sets)
    same(found, whole)


def test_where_one_is_gone_only_those_that_hung_together_with_it_are_compared_again(tmp_path: Path) -> None:
    sets = arrays(
        [{1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 5, 6}, *({n, n + 1, n + 2} for n in range(100, 400, 10))]
    )
    known = through_a_file(tmp_path / "join", sets, join(sets, 0.6), 0.6)
    left = [sets[0], *sets[2:]]  # the one between the other two
    found = join(left, 0.6, known)
    same(found, join(left, 0.6))
    assert found.components.tolist() == list(range(len(left)))
    assert found.compared == 2


def test_where_most_is_new_all_is_compared(tmp_path: Path) -> None:
    sets = arrays(near_copies(9, families=5, copies=6, size=20))
    known = through_a_file(tmp_path / "join", sets[:4], join(sets[:4], 0.6), 0.6)
    found = join(sets, 0.6, known)
    assert found.compared == len(sets)
    same(found, join(sets, 0.6))


def test_a_join_of_another_threshold_or_a_damaged_one_is_none(tmp_path: Path) -> None:
    sets = arrays([{1, 2}, {2, 3}])
    through_a_file(tmp_path / "join", sets, join(sets, 0.6), 0.6)
    assert read_join(tmp_path / "join", 0.7) is None
    assert read_join(tmp_path / "none", 0.6) is None
    (tmp_path / "join").write_bytes(b"PAR1")
    assert read_join(tmp_path / "join", 0.6) is None
