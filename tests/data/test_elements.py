"""The index says where elements are, whatever was added to it in which order, and stays small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import element_file, elements
from forge.data.digests import Digests
from forge.data.element_file import HASH
from forge.data.elements import LISTING, Elements
from forge.data.sets import Sets, set_digest
from forge.data.word_codes import Uint64


def known(sets: list[Uint64]) -> Digests:
    return Digests(np.frombuffer(b"".join(map(set_digest, sets)), np.uint64).reshape(-1, 2))


def owners(index: Elements, sets: list[Uint64], wanted: Uint64) -> list[list[int]]:
    """Return the places of the sets that the index says have each of some elements."""
    hashes = wanted * HASH
    order = np.argsort(hashes)
    found: list[list[int]] = [[] for _ in wanted]
    for hits in index.find(hashes[order], known(sets)):
        for element, begin, end in zip(order.tolist(), hits.begins, hits.ends, strict=True):
            found[element] += [
                place for place in hits.places[hits.numbers(np.arange(begin, end))].tolist() if place >= 0
            ]
    return [sorted(places) for places in found]


ELEMENTS = np.random.default_rng(3).integers(0, 2**63, 31, np.uint64)
SOME = st.lists(st.frozensets(st.integers(0, 30), max_size=8), unique=True, max_size=12)


@settings(max_examples=60, deadline=None)
@given(history=st.lists(SOME, min_size=1, max_size=5), part_entries=st.sampled_from([4, 1 << 21]))
def test_all_sets_that_have_an_element_are_found(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[frozenset[int]]], part_entries: int
) -> None:
    earlier = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(element_file, "PART_ENTRIES", part_entries)
        for some in history:
            folder = tmp_path_factory.mktemp("index")
            sets = [np.sort(ELEMENTS[sorted(one)]) for one in some]
            index = Elements(folder, earlier)
            index.add(Sets.of(sets), known(sets))
            expected = [[place for place, one in enumerate(some) if element in one] for element in range(31)]
            assert owners(index, sets, ELEMENTS) == expected
            assert owners(Elements(folder), sets, ELEMENTS) == expected
            earlier = folder


def test_what_was_looked_up_before_is_found_again_until_sets_are_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = 0
    look_up = element_file.look_up

    def looking_up(path: Path, parts: tuple[element_file.Part, ...], hashes: Uint64) -> element_file.Found:
        nonlocal looked_up
        looked_up += len(hashes)
        return look_up(path, parts, hashes)

    monkeypatch.setattr(elements, "look_up", looking_up)
    sets = numbered(40)
    index = Elements(tmp_path)
    index.add(Sets.of(sets), known(sets))
    wanted = np.concatenate(sets[3:7])
    expected = [[place] for place in range(3, 7) for _ in range(20)]
    for step in (1, 1, 3):
        assert owners(index, sets, wanted[::step]) == expected[::step]
    assert looked_up == len(wanted)
    assert owners(index, sets, np.r_[wanted, sets[8]])[-1] == [8]
    more = [*sets, sets[3][:10]]
    index.add(Sets.of(more), known(more))
    assert owners(index, more, sets[3][:1]) == [[3, 40]]


def numbered(count: int, first: int = 0, size: int = 20) -> list[Uint64]:
    source = np.random.default_rng(first)
    return [np.sort(source.integers(0, 2**63, size, np.uint64)) for _ in range(count)]


def test_a_few_new_sets_are_written_beside_what_is_there(tmp_path: Path) -> None:
    sets = numbered(400)
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    first = Elements(tmp_path / "one")
    first.add(Sets.of(sets), known(sets))
    more = [*sets, *numbered(4, 1)]
    second = Elements(tmp_path / "two", tmp_path / "one")
    second.add(Sets.of(more), known(more))
    assert [one.entries for one in second.segments] == [8_000, 80]
    linked = [tmp_path / name / "elements-0.u32" for name in ("one", "two")]
    assert linked[0].samefile(linked[1])
    # Two small ones become one; the large one stays as it is.
    yet_more = [*more[10:], *numbered(3, 2)]
    third = Elements(tmp_path / "three", tmp_path / "two")
    third.add(Sets.of(yet_more), known(yet_more))
    assert [one.entries for one in third.segments] == [8_000, 140]
    assert owners(third, yet_more, yet_more[-5][:2]) == [[len(yet_more) - 5]] * 2
    assert {path.name for path in (tmp_path / "three").iterdir()} == {
        LISTING,
        "elements-0.u32",
        "elements-0.parities.u64",
        "elements-0.sets.npy",
        "elements-2.u32",
        "elements-2.parities.u64",
        "elements-2.sets.npy",
    }


def test_what_is_gone_goes_from_the_index_when_it_is_most(tmp_path: Path) -> None:
    sets = numbered(400)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    Elements(tmp_path / "one").add(Sets.of(sets), known(sets))
    left = [*sets[:190], *numbered(1, 7)]
    index = Elements(tmp_path / "two", tmp_path / "one")
    index.add(Sets.of(left), known(left))
    assert [one.entries for one in index.segments] == [191 * 20]
    assert len(list((tmp_path / "one").iterdir())) == 4


@pytest.mark.parametrize(
    "name", [LISTING, "elements-0.u32", "elements-0.parities.u64", "elements-0.sets.npy"]
)
def test_a_damaged_index_is_made_anew(name: str, tmp_path: Path) -> None:
    sets = numbered(30)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    Elements(tmp_path / "one").add(Sets.of(sets), known(sets))
    (tmp_path / "one" / name).write_bytes(b"[")
    index = Elements(tmp_path / "two", tmp_path / "one")
    assert not index.segments
    index.add(Sets.of(sets), known(sets))
    assert owners(index, sets, sets[7]) == [[7]] * 20
    assert len(json.loads((tmp_path / "two" / LISTING).read_text())) == 1
