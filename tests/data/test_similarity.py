import itertools
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import overlaps, postings, prefixes, similarity
from forge.data import sets as sets_module
from forge.data.bit_counts import BitCounts
from forge.data.sets import Ints, Sets, join_files
from forge.data.similarity import similar_pairs

Found = dict[tuple[int, int], float]


def arrays(sets: Sequence[set[int]]) -> list[npt.NDArray[np.uint64]]:
    return [np.array(sorted(one), dtype=np.uint64) for one in sets]


def by_join(sets: Sequence[set[int]], threshold: float) -> Found:
    found: Found = {}
    probed = 0
    for pairs in similar_pairs(arrays(sets), threshold):
        probed += pairs.probed
        for one, two, jaccard in zip(
            pairs.first.tolist(), pairs.second.tolist(), pairs.jaccard.tolist(), strict=True
        ):
            key = (min(one, two), max(one, two))
            assert key not in found, "a pair came twice"
            found[key] = jaccard
    assert probed == sum(bool(one) for one in sets)
    return found


def by_force(sets: Sequence[set[int]], threshold: float) -> Found:
    found: Found = {}
    for one, two in itertools.combinations(range(len(sets)), 2):
        union = len(sets[one] | sets[two])
        if union and (jaccard := len(sets[one] & sets[two]) / union) >= threshold:
            found[one, two] = jaccard
    return found


THRESHOLDS = st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0])


@settings(max_examples=300, deadline=None)
@given(
    sets=st.lists(st.sets(st.integers(0, 25), max_size=14), max_size=40),
    threshold=THRESHOLDS | st.floats(0.01, 1.0),
)
def test_the_join_finds_what_comparing_all_finds(sets: list[set[int]], threshold: float) -> None:
    assert by_join(sets, threshold) == by_force(sets, threshold)


@settings(max_examples=100, deadline=None)
@given(
    sets=st.lists(st.sets(st.integers(0, 25), max_size=14), max_size=40),
    threshold=THRESHOLDS,
    crowd=st.sampled_from([0, 1, 3]),
    often=st.sampled_from([0, 1, 2]),
    many_probes=st.sampled_from([0, 1, 2]),
)
def test_a_crowd_of_any_size_is_found_like_others(
    sets: list[set[int]], threshold: float, crowd: int, often: int, many_probes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "CROWD", crowd)
        patch.setattr(postings, "OFTEN", often)
        patch.setattr(overlaps, "MANY_PROBES", many_probes)
        assert by_join(sets, threshold) == by_force(sets, threshold)


def test_sets_of_one_form_are_held_against_each_other_without_listing_each_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = counted = 0
    list_entries, of = postings.Postings._listed, BitCounts.of

    def listing(self: postings.Postings, probes: Ints, places: Ints, begins: Ints, ends: Ints) -> Ints:
        nonlocal listed
        listed += int((ends - begins).sum())
        return list_entries(self, probes, places, begins, ends)

    def counting(self: BitCounts, rows: Ints, bits: Ints) -> Ints:
        nonlocal counted
        counted += len(rows)
        return of(self, rows, bits)

    monkeypatch.setattr(postings.Postings, "_listed", listing)
    monkeypatch.setattr(BitCounts, "of", counting)
    source = np.random.default_rng(7)
    base = range(100)
    sets = [
        {one for one in base if source.random() > 0.04} | set(source.integers(1_000, 10**9, 4).tolist())
        for _ in range(300)
    ]
    expected = by_force(sets, 0.8)
    assert by_join(sets, 0.8) == expected
    assert len(expected) > 0.9 * 300 * 299 / 2
    assert counted > 0.7 * len(expected)
    assert listed < 2 * len(expected)


def near_copies(seed: int, families: int, copies: int, size: int) -> list[set[int]]:
    """Return sets in families: each a base with some elements dropped and some of its own."""
    source = np.random.default_rng(seed)
    sets = []
    for _ in range(families):
        base = source.integers(0, 2**62, size)
        for _ in range(copies):
            kept = base[source.random(size) > source.uniform(0, 0.4)]
            own = source.integers(0, 2**62, source.integers(0, size // 3))
            sets.append(set(kept.tolist()) | set(own.tolist()))
    source.shuffle(sets)
    return sets


@pytest.mark.parametrize("threshold", [0.5, 0.8])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_exact_on_families_of_near_copies(seed: int, threshold: float) -> None:
    sets = near_copies(seed, families=12, copies=25, size=60)
    expected = by_force(sets, threshold)
    assert len(expected) > 30
    assert by_join(sets, threshold) == expected


def test_small_blocks_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = near_copies(3, families=6, copies=30, size=40)
    whole = by_join(sets, 0.6)
    monkeypatch.setattr(sets_module, "BLOCK_ELEMENTS", 7)
    monkeypatch.setattr(similarity, "BLOCK_SETS", 5)
    assert by_join(sets, 0.6) == whole == by_force(sets, 0.6)


def test_exactly_the_threshold_is_similar() -> None:
    # 4 of 5: floating point must not lose it.
    assert by_join([{1, 2, 3, 4, 5}, {1, 2, 3, 4}], 0.8) == {(0, 1): 0.8}
    assert by_join([set(range(10)), set(range(7))], 0.7) == {(0, 1): 0.7}
    assert by_join([{1, 2, 3, 4, 5}, {1, 2, 3, 4}], 0.8000001) == {}


def test_nothing_is_similar_to_nothing() -> None:
    assert by_join([], 0.5) == {}
    assert by_join([set(), set(), {1}], 0.5) == {}
    assert by_join([{1}, {2}, {3}], 0.5) == {}


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        list(similar_pairs(arrays([{1}]), threshold))


@pytest.mark.soak
def test_a_large_clique_comes_in_bounded_blocks() -> None:
    base = set(range(50))
    sets = [(base - {number % 50}) | {1_000 + number} for number in range(700)]
    blocks = [len(pairs.first) for pairs in similar_pairs(arrays(sets), 0.8)]
    assert sum(blocks) == 700 * 699 // 2
    assert max(blocks) <= 700 * postings.BLOCK_SETS


def test_parts_in_files_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = near_copies(4, families=6, copies=30, size=40)
    whole = by_join(sets, 0.6)
    monkeypatch.setattr(prefixes, "PART_POSTINGS", 700)
    monkeypatch.setattr(prefixes, "COUNTER_BITS", (4, 4))
    monkeypatch.setattr(prefixes, "CELL_BITS", (4, 4))
    monkeypatch.setattr(overlaps, "MARK_BITS", 3)
    assert by_join(sets, 0.6) == whole == by_force(sets, 0.6)


def test_sets_in_files_are_the_sets(tmp_path: Path) -> None:
    sets = arrays(near_copies(5, families=3, copies=10, size=30))
    counts = np.array([len(one) for one in sets])
    digests = np.arange(2 * len(sets), dtype=np.uint64).reshape(-1, 2)
    files = [tmp_path / "a", tmp_path / "b"]
    for path, some in zip(files, (sets[:11], sets[11:]), strict=True):
        np.concatenate(some).tofile(path)
    join_files(files, tmp_path / "whole")
    # Killed in the middle, it is asked again: of what became of the files, or of some of them.
    join_files(files, tmp_path / "whole")
    stored = Sets.in_file(tmp_path / "whole", counts, digests)
    assert [one.tolist() for one in stored] == [one.tolist() for one in sets]
    stored.release()
    assert stored.take(np.array([3, 1])).gather(np.array([1, 0])).tolist() == [
        *sets[1].tolist(),
        *sets[3].tolist(),
    ]
    found = [(pairs.first.tolist(), pairs.second.tolist()) for pairs in similar_pairs(stored, 0.5)]
    assert found == [(pairs.first.tolist(), pairs.second.tolist()) for pairs in similar_pairs(sets, 0.5)]


def mapped_kib(path: Path) -> int:
    """Return what of a file is in this process's memory."""
    found = own = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            own = line.endswith(str(path))
        elif own and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
def test_what_is_read_of_a_file_is_not_mapped_with_all_around_it(tmp_path: Path) -> None:
    count, size = 1_000, 400
    np.arange(count * size, dtype=np.uint64).tofile(tmp_path / "flat")
    digests = np.arange(2 * count, dtype=np.uint64).reshape(-1, 2)
    stored = Sets.in_file(tmp_path / "flat", np.full(count, size), digests)
    places = np.arange(0, count, 7)[::-1]
    assert stored.gather(places).reshape(-1, size)[:, 0].tolist() == (places * size).tolist()
    assert stored[3].tolist() == list(range(3 * size, 4 * size))
    assert list(similar_pairs(stored, 0.5))
    assert mapped_kib(tmp_path / "flat") == 0


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    np.arange(10, dtype=np.uint64).tofile(tmp_path / "flat")
    digests = np.zeros((2, 2), np.uint64)
    stored = Sets.in_file(tmp_path / "flat", np.array([5, 5]), digests)
    os.truncate(tmp_path / "flat", 72)
    with pytest.raises(OSError, match="shorter"):
        stored.gather(np.array([1]))
