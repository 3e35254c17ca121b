"""The pairs that some sets are in, looked up in an index of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import additions, overlaps
from forge.data import sets as sets_module
from forge.data.additions import similar_pairs_with
from forge.data.components import Components
from forge.data.digests import Digests
from forge.data.elements import Elements
from forge.data.sets import Ints, Sets, set_digest
from tests.data.test_similarity import Found, arrays, by_join, near_copies


def with_new(folder: Path, sets: Sequence[set[int]], new: set[int], threshold: float) -> Found:
    found: Found = {}
    stored = arrays(sets)
    store = Sets.of(stored)
    digests = Digests(np.frombuffer(b"".join(map(set_digest, stored)), np.uint64).reshape(-1, 2))
    index = Elements(folder)
    old = np.array([place for place in range(len(sets)) if place not in new], np.int64)
    index.add(store.take(old), Digests(digests.keys[old]))
    index.add(store, digests)
    chosen = np.array(sorted(place for place in new if sets[place]), np.int64)
    for pairs in similar_pairs_with(store, chosen, threshold, index, digests):
        for one, two, jaccard in zip(
            pairs.first.tolist(), pairs.second.tolist(), pairs.jaccard.tolist(), strict=True
        ):
            key = (min(one, two), max(one, two))
            assert key not in found, "a pair came twice"
            found[key] = jaccard
    return found


@settings(max_examples=100, deadline=None)
@given(
    sets=st.lists(st.frozensets(st.integers(0, 14), max_size=9), min_size=1, max_size=20, unique=True),
    threshold=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    data=st.data(),
)
def test_pairs_with_new_sets_are_all_pairs_that_have_one(
    tmp_path_factory: pytest.TempPathFactory,
    sets: list[set[int]],
    threshold: float,
    data: st.DataObject,
) -> None:
    new = data.draw(st.sets(st.integers(0, len(sets) - 1)))
    expected = {pair: jaccard for pair, jaccard in by_join(sets, threshold).items() if new & set(pair)}
    assert with_new(tmp_path_factory.mktemp("index"), sets, new, threshold) == expected


def test_pairs_with_new_sets_come_in_small_blocks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [set(one) for one in {frozenset(one) for one in near_copies(6, families=6, copies=30, size=40)}]
    new = set(range(0, len(sets), 9))
    expected = {pair: jaccard for pair, jaccard in by_join(sets, 0.6).items() if new & set(pair)}
    assert len(expected) > 20
    (tmp_path / "one").mkdir()
    assert with_new(tmp_path / "one", sets, new, 0.6) == expected
    monkeypatch.setattr(sets_module, "BLOCK_ELEMENTS", 50)
    monkeypatch.setattr(overlaps, "MARK_BITS", 3)
    (tmp_path / "two").mkdir()
    assert with_new(tmp_path / "two", sets, new, 0.6) == expected


def test_sets_that_share_first_elements_and_too_little_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    verify = overlaps.verified

    def verified(sets: Sets, keys: Ints, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
        nonlocal compared
        compared += len(keys)
        return verify(sets, keys, threshold)

    monkeypatch.setattr(additions, "verified", verified)
    source = np.random.default_rng(3)
    rare, one, other = source.integers(0, 2**62, (3, 100)).tolist()
    # What the first two share is in no other set, and the rest of each is in ten.
    sets = [{*rare, *one}, {*rare, *other}]
    sets += [{*frequent, *source.integers(0, 2**62, 120).tolist()} for frequent in [one, other] * 10]
    assert with_new(tmp_path, sets, {0}, 0.6) == {}
    assert compared == 0


def test_of_thousands_made_of_one_form_a_few_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [set(one) for one in {frozenset(one) for one in near_copies(4, families=1, copies=600, size=60)}]
    compared = listed = 0
    verify, keep = overlaps.verified, additions._Firsts._kept

    def verified(sets: Sets, keys: Ints, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
        nonlocal compared
        compared += len(keys)
        return verify(sets, keys, threshold)

    def kept(firsts: additions._Firsts, probe: Ints, other: Ints) -> tuple[Ints, Ints]:
        nonlocal listed
        listed += len(probe)
        return keep(firsts, probe, other)

    monkeypatch.setattr(additions, "verified", verified)
    monkeypatch.setattr(additions._Firsts, "_kept", kept)
    stored = arrays(sets)
    store = Sets.of(stored)
    digests = Digests(np.frombuffer(b"".join(map(set_digest, stored)), np.uint64).reshape(-1, 2))
    index = Elements(tmp_path)
    index.add(store, digests)
    together = Components(len(sets))
    old = np.arange(10, len(sets))
    together.join(old[:-1], old[1:])
    assert len(set(together.names().tolist())) == 11
    for pairs in similar_pairs_with(store, np.arange(10), 0.5, index, digests, together):
        together.join(pairs.first, pairs.second)
    assert set(together.names().tolist()) == {0}
    assert compared < 100
    assert listed < 10 * 60 * 60
