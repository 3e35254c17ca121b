"""The index of a join is the same sets and elements however many parts it is made of, and no pair is met twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import overlaps, prefixes, similarity
from forge.data.components import Components
from forge.data.index import build_index, part_file
from forge.data.postings import Postings
from forge.data.prefixes import Part, count_elements, fill_parts
from forge.data.sets import Ints, Sets
from forge.data.similarity import probing_order, similar_pairs
from tests.data.test_similarity import arrays, near_copies


def candidates(folder: Path, sets: Sets, threshold: float, parts: int) -> list[int]:
    folder.mkdir()
    ordered = sets.take(probing_order(sets))
    files = [Part(part_file(folder, part, 0)) for part in range(parts)]
    fill_parts(ordered, threshold, count_elements(sets), files)
    build_index(folder, parts, 1, ordered.counts, threshold)
    assert {path.name for path in folder.iterdir()} == {
        "index.u64",
        "entries.i64",
        "borders.npy",
        "sizes.npy",
    }
    found: list[int] = Postings(folder, ordered.counts, threshold).candidates(0, len(ordered)).tolist()
    return found


@settings(max_examples=40, deadline=None)
@given(
    some=st.lists(st.sets(st.integers(0, 25), min_size=1, max_size=14), min_size=1, max_size=30),
    threshold=st.sampled_from([0.1, 0.5, 0.8, 1.0]),
    parts=st.integers(2, 9),
)
def test_many_parts_are_one_index(
    tmp_path_factory: pytest.TempPathFactory, some: list[set[int]], threshold: float, parts: int
) -> None:
    folder, sets = tmp_path_factory.mktemp("index"), Sets.of(arrays(some))
    whole = candidates(folder / "one", sets, threshold, 1)
    assert candidates(folder / "many", sets, threshold, parts) == whole


class Work:
    """Counts what a join does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.compared = self.listed = 0
        compare, list_entries = overlaps.verified, Postings._listed

        def verified(ordered: Sets, keys: Ints, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
            self.compared += len(keys)
            return compare(ordered, keys, threshold)

        def listed(postings: Postings, probes: Ints, places: Ints, begins: Ints, ends: Ints) -> Ints:
            self.listed += int((ends - begins).sum())
            return list_entries(postings, probes, places, begins, ends)

        monkeypatch.setattr(similarity, "verified", verified)
        monkeypatch.setattr(Postings, "_listed", listed)

    def of(
        self, sets: list[npt.NDArray[np.uint64]], threshold: float, families: bool
    ) -> tuple[int, int, int]:
        """Return how many pairs a join finds and compares, and entries of the index that it looks at."""
        self.compared = self.listed = 0
        together = Components(len(sets)) if families else None
        pairs = 0
        for found in similar_pairs(sets, threshold, together):
            pairs += len(found.first)
            if together is not None:
                together.join(found.first, found.second)
        return pairs, self.compared, self.listed


@pytest.mark.parametrize(("threshold", "families"), [(0.6, False), (0.5, True)])
def test_work_grows_with_the_data(threshold: float, families: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Parts and counters as small for a few thousand elements as they are for a large corpus.
    monkeypatch.setattr(prefixes, "PART_POSTINGS", 300)
    monkeypatch.setattr(prefixes, "COUNTER_BITS", (12, 14))
    work = Work(monkeypatch)
    one = arrays(near_copies(21, families=8, copies=12, size=60))
    pairs, compared, listed = work.of(one, threshold, families)
    assert 0 < pairs < compared < listed
    copies = 16
    # Another odd factor gives each copy elements of its own.
    many = [np.sort(some * np.uint64(2 * number + 1)) for number in range(copies) for some in one]
    many_pairs, many_compared, many_listed = work.of(many, threshold, families)
    assert many_pairs == copies * pairs if not families else many_pairs >= copies * pairs / 2
    assert many_compared < 1.2 * copies * compared
    assert many_listed < 1.2 * copies * listed


def test_what_is_in_one_set_is_told_where_elements_are_more_than_counters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefixes, "COUNTER_BITS", (12, 12))
    source = np.random.default_rng(5)
    own = [np.sort(source.integers(0, 2**63, 400, np.uint64)) for _ in range(100)]
    shared = np.sort(source.integers(0, 2**63, 50, np.uint64))
    counters = count_elements(Sets.of([*own, shared, shared, shared]))
    assert counters.of(shared).min() >= 3
    alone = counters.of(np.concatenate(own))
    assert alone.min() == 1
    assert np.count_nonzero(alone == 1) > 0.6 * len(alone)
