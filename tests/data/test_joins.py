from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import additions, joined_before, joins, overlaps
from forge.data.digests import Digests
from forge.data.join_files import Join, edges_file, join_file, read_join
from forge.data.joins import Joins, join_sets
from forge.data.sets import Ints, Sets, set_digest
from forge.progress import SilentProgress
from tests.data.test_similarity import arrays, near_copies

Arrays = list[npt.NDArray[np.uint64]]


def digests_of(sets: Arrays) -> npt.NDArray[np.uint64]:
    return np.frombuffer(b"".join(map(set_digest, sets)), np.uint64).reshape(-1, 2)


def whole(sets: Arrays, threshold: float, closest_wanted: bool = True) -> Join:
    known = Digests(digests_of(sets))
    return join_sets(Sets.of(sets), known, threshold, SilentProgress(), closest_wanted)


def beside(
    folder: Path, earlier: Path | None, sets: Arrays, threshold: float, closest_wanted: bool = True
) -> Join:
    folder.mkdir()
    made = Joins(earlier, folder)
    return made.join("name", sets, digests_of(sets), threshold, SilentProgress(), closest_wanted)


def same(one: Join, two: Join) -> None:
    assert one.components.tolist() == two.components.tolist()
    assert one.closest.tolist() == two.closest.tolist()
    assert one.jaccards.tolist() == two.jaccards.tolist()


def are_edges_of(join: Join, sets: Arrays, threshold: float) -> None:
    """Assert that the edges are similar pairs, and hold together what hangs together."""
    for one, two in join.edges.T.tolist():
        shared = len(np.intersect1d(sets[one], sets[two]))
        assert shared / (len(sets[one]) + len(sets[two]) - shared) >= threshold
        assert join.components[one] == join.components[two]
    assert join.edges.shape[1] == len(sets) - len(set(join.components.tolist()))


SETS = st.lists(st.frozensets(st.integers(0, 12), max_size=9), unique=True, min_size=1, max_size=24)
CHANGES = st.lists(st.tuples(st.sets(st.integers(0, 23), max_size=6), st.randoms()), min_size=2, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    all_sets=SETS,
    changes=CHANGES,
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
    closest_wanted=st.booleans(),
    probes_at_once=st.sampled_from([1, 64]),
    often=st.sampled_from([0, 4]),
)
def test_whatever_came_and_went_a_join_is_that_of_a_whole_pass(
    tmp_path_factory: pytest.TempPathFactory,
    all_sets: list[frozenset[int]],
    changes: list[tuple[set[int], object]],
    threshold: float,
    closest_wanted: bool,
    probes_at_once: int,
    often: int,
) -> None:
    """Each change is of some sets: those that are there go, and those that are not come, in another order."""
    place = tmp_path_factory.mktemp("joins")
    there = set(range(0, len(all_sets), 2))
    earlier = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joins, "MOST_NEW", 1.0)
        patch.setattr(joined_before, "BLOCK_SETS", probes_at_once)
        patch.setattr(additions, "BLOCK_SETS", probes_at_once)
        patch.setattr(additions, "OFTEN", often)
        for number, (some, chance) in enumerate(changes):
            there ^= {one for one in some if one < len(all_sets)}
            order = sorted(there)
            chance.shuffle(order)  # type: ignore[attr-defined]
            sets = arrays([set(all_sets[one]) for one in order])
            folder = place / str(number)
            found = beside(folder, earlier, sets, threshold, closest_wanted)
            expected = whole(sets, threshold, closest_wanted)
            same(found, expected)
            are_edges_of(found, sets, threshold)
            beside(place / f"whole-{number}", None, sets, threshold, closest_wanted)
            written = [join_file(one, "name").read_bytes() for one in (folder, place / f"whole-{number}")]
            assert written[0] == written[1]
            earlier = folder


def distinct(sets: list[set[int]]) -> Arrays:
    return list({set_digest(one): one for one in arrays(sets)}.values())


def test_a_hundredth_more_compares_a_hundredth(tmp_path: Path) -> None:
    sets = distinct(near_copies(8, families=60, copies=10, size=40))
    new = len(sets) // 100
    beside(tmp_path / "one", None, sets[new:], 0.6)
    found = beside(tmp_path / "two", tmp_path / "one", sets, 0.6)
    assert len(sets) > 500
    assert found.compared == new
    expected = whole(sets, 0.6)
    assert expected.compared == len(sets)
    same(found, expected)


@pytest.mark.parametrize("closest_wanted", [True, False])
def test_a_hundredth_gone_of_one_form_compares_few(
    closest_wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = distinct(near_copies(5, families=1, copies=500, size=60))
    assert len(sets) > 400
    counted = 0
    count = overlaps.Block.overlaps

    def overlapping(block: overlaps.Block, probes: Ints, others: Ints) -> Ints:
        nonlocal counted
        counted += len(probes)
        return count(block, probes, others)

    monkeypatch.setattr(overlaps.Block, "overlaps", overlapping)
    beside(tmp_path / "one", None, sets, 0.6, closest_wanted)
    all_pairs, counted = counted, 0
    left = [one for place, one in enumerate(sets) if place % 100 != 5]
    found = beside(tmp_path / "two", tmp_path / "one", left, 0.6, closest_wanted)
    pairs = counted
    same(found, whole(left, 0.6, closest_wanted))
    assert found.compared < 0.1 * len(sets)
    assert pairs < 0.1 * all_pairs


def test_where_one_is_gone_what_hung_on_it_is_apart(tmp_path: Path) -> None:
    sets = arrays(
        [{1, 2, 3, 4}, {1, 2, 3, 5}, {1, 2, 5, 6}, *({n, n + 1, n + 2} for n in range(100, 400, 10))]
    )
    beside(tmp_path / "one", None, sets, 0.6)
    left = [sets[0], *sets[2:]]  # the one between the other two
    found = beside(tmp_path / "two", tmp_path / "one", left, 0.6)
    same(found, whole(left, 0.6))
    assert found.components.tolist() == list(range(len(left)))
    assert found.compared == 3  # two for the closest of each, one for what hangs together


def test_where_most_is_new_all_is_compared(tmp_path: Path) -> None:
    sets = arrays(near_copies(9, families=5, copies=6, size=20))
    beside(tmp_path / "one", None, sets[:4], 0.6)
    found = beside(tmp_path / "two", tmp_path / "one", sets, 0.6)
    assert found.compared == len(sets)
    same(found, whole(sets, 0.6))


def test_a_join_of_another_threshold_or_a_damaged_one_is_none(tmp_path: Path) -> None:
    sets = arrays([{1, 2}, {2, 3}])
    beside(tmp_path / "one", None, sets, 0.6)
    path = join_file(tmp_path / "one", "name")
    assert read_join(path, 0.6) is not None
    assert read_join(path, 0.7) is None
    assert read_join(tmp_path / "none", 0.6) is None
    edges = edges_file(path).read_bytes()
    edges_file(path).unlink()
    assert read_join(path, 0.6) is None
    edges_file(path).write_bytes(edges)
    path.write_bytes(b"ARROW1")
    assert read_join(path, 0.6) is None
