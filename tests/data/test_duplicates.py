import hashlib
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import overlaps, postings, similarity
from forge.data.duplicates import Duplicates, exact_duplicates, families, levelled, near_duplicates
from forge.data.joins import Joins
from forge.progress import SilentProgress
from tests.data.test_similarity import arrays

SETS = st.lists(st.sets(st.integers(0, 12), max_size=10), max_size=25)


def jaccard(one: set[int], two: set[int]) -> float:
    return len(one & two) / len(one | two) if one | two else 0.0


def components(sets: list[set[int]], threshold: float) -> list[int]:
    names = list(range(len(sets)))
    edges = [
        pair
        for pair in itertools.combinations(range(len(sets)), 2)
        if jaccard(sets[pair[0]], sets[pair[1]]) >= threshold
    ]
    for _ in sets:
        for one, two in edges:
            names[one] = names[two] = min(names[one], names[two])
    return names


def test_case_and_white_space_are_levelled() -> None:
    assert len(set(levelled(["Same  Text\n", "same text", " SAME\x1c\ttext"]))) == 1
    assert len(set(levelled(["same text", "same, text", "sametext"]))) == 3


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("aBz \n\r\t\x0b\x0c\x1c\x1f\x00\u00a0\u3000\u00e9\u00df"))))
def test_texts_are_levelled_together_as_each_alone(texts: list[str]) -> None:
    alone = [
        hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=32).digest() for text in texts
    ]
    assert levelled(texts) == alone


def test_the_preferred_of_exact_duplicates_is_kept() -> None:
    found = exact_duplicates(np.array([0, 1, 0, 0]), np.array([2, 0, 1, 3]))
    assert rows(found) == [(0, 2, 2, 1.0), (3, 2, 2, 1.0)]


def rows(found: Duplicates) -> list[tuple[int, int, int, float]]:
    """Return (removed, kept, closest, Jaccard) of each."""
    columns = (found.removed, found.kept, found.closest, found.jaccards)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=200, deadline=None)
@given(sets=SETS, threshold=st.sampled_from([0.3, 0.5, 0.8, 1.0]), data=st.data())
def test_one_of_each_group_is_kept_and_every_claim_is_true(
    sets: list[set[int]], threshold: float, data: st.DataObject
) -> None:
    preference = data.draw(st.permutations(range(len(sets))))
    ranks = np.array(preference, np.int64)
    found = rows(near_duplicates(arrays(sets), ranks, threshold, SilentProgress(), Joins(None, None)))
    names = components(sets, threshold)
    removed = {one for one, *_ in found}
    for name in set(names):
        members = [place for place, own in enumerate(names) if own == name]
        kept = [place for place in members if place not in removed]
        assert kept == [min(members, key=lambda place: preference[place])]
    for one, keeper, closest, alike in found:
        assert names[one] == names[keeper] == names[closest]
        assert keeper not in removed
        assert closest != one
        assert alike == jaccard(sets[one], sets[closest])
        others = [place for place in range(len(sets)) if place != one]
        assert alike == max(jaccard(sets[one], sets[place]) for place in others)


@settings(max_examples=100, deadline=None)
@given(sets=SETS, threshold=st.sampled_from([0.3, 0.5, 0.8]))
def test_families_are_what_hangs_together(sets: list[set[int]], threshold: float) -> None:
    found = families(arrays(sets), threshold, SilentProgress(), Joins(None, None))
    assert found.tolist() == components(sets, threshold)


@settings(max_examples=100, deadline=None)
@given(
    sets=st.lists(st.sets(st.integers(0, 12), min_size=1, max_size=9), max_size=60),
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
    steps=st.integers(0, 3),
)
def test_families_are_the_same_where_elements_are_in_many_sets(
    sets: list[set[int]], threshold: float, steps: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings, "CROWD", 0)
        patch.setattr(postings, "MOST_STEPS", steps)
        patch.setattr(similarity, "BLOCK_SETS", 4)
        found = families(arrays(sets), threshold, SilentProgress(), Joins(None, None))
    assert found.tolist() == components(sets, threshold)


def one_form(count: int) -> list[npt.NDArray[np.uint64]]:
    """Return sets that share most of their elements, and have some of their own."""
    source = np.random.default_rng(count)
    form = source.integers(0, 2**62, 60, dtype=np.uint64)
    return [
        np.unique(np.concatenate([form, source.integers(0, 2**62, 20, dtype=np.uint64)]))
        for _ in range(count)
    ]


def test_thousands_made_of_one_form_cost_a_few_comparisons_each(monkeypatch: pytest.MonkeyPatch) -> None:
    work = {"compared": 0, "listed": 0}
    shared, listed = overlaps.Block.overlaps, postings.Postings._listed

    def counted(block: Any, probes: Any, others: Any) -> Any:
        work["compared"] += len(probes)
        return shared(block, probes, others)

    def counted_entries(entries: Any, probes: Any, places: Any, begins: Any, ends: Any) -> Any:
        work["listed"] += int((ends - begins).sum())
        return listed(entries, probes, places, begins, ends)

    monkeypatch.setattr(overlaps.Block, "overlaps", counted)
    monkeypatch.setattr(postings.Postings, "_listed", counted_entries)
    found = {}
    for count in (500, 2_000):
        work |= {"compared": 0, "listed": 0}
        assert set(families(one_form(count), 0.5, SilentProgress(), Joins(None, None)).tolist()) == {0}
        found[count] = dict(work)
    assert found[2_000]["compared"] < 3 * 2_000
    assert found[2_000]["listed"] < 5 * found[500]["listed"]


def test_thousands_of_the_same_set_cost_no_pairs() -> None:
    same = [np.arange(100, dtype=np.uint64)] * 20_000
    found = near_duplicates(same, np.arange(len(same)), 0.8, SilentProgress(), Joins(None, None))
    assert found.removed.tolist() == list(range(1, 20_000))
    assert set(found.kept.tolist()) == {0}
