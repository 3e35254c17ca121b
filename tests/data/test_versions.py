from __future__ import annotations

import random
from datetime import date
from pathlib import PurePosixPath

import numpy as np

from forge.data.audit.copies import Fingerprints
from forge.data.components import clusters
from forge.data.versions import Dated, Family, Kinship, find_families
from forge.data.words import split_words
from forge.progress import SilentProgress

WORDS = "alder birch cedar elm fir hazel larch maple oak pine rowan spruce willow yew ash beech lime plum fig".split()


def prose(seed: int, words: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def changed(text: str, every: int) -> str:
    words = text.split()
    words[every::every] = ["changed"] * len(words[every::every])
    return " ".join(words)


def families(
    *files: tuple[str, str], days: dict[int, date] | None = None, talk: bool = False
) -> list[Family]:
    fingerprints = Fingerprints()
    documents = []
    for number, (path, text) in enumerate(files):
        fingerprints.add(number, text, split_words(text))
        documents.append(Dated("s", path, 0, PurePosixPath(path).stem, (), (days or {}).get(number), talk))
    kin = Kinship(documents)
    pairs, exact = fingerprints.pairs(kin, SilentProgress()), fingerprints.exact_groups()
    return find_families(kin, pairs, exact, fingerprints.jaccard)


TEXT = prose(1)


def test_marks_in_names_make_a_family_and_order_it() -> None:
    [family] = families(
        ("a/plan final.docx", changed(TEXT, 30)),
        ("a/plan FINAL2.docx", changed(TEXT, 20)),
        ("a/plan draft.docx", TEXT),
        ("b/other.docx", prose(2)),
    )
    assert family.members == (2, 0, 1)
    assert family.newest == 1


def test_numbers_are_compared_as_numbers() -> None:
    [family] = families(
        ("plan_v10.md", changed(TEXT, 30)), ("plan_v9.md", TEXT), ("plan_v1.md", changed(TEXT, 40))
    )
    assert family.members == (2, 1, 0)


def test_much_may_change_between_marked_versions_but_not_all() -> None:
    half = TEXT[: len(TEXT) // 2]
    assert (
        len(families(("plan_v1.md", f"{half} {prose(3, 80)}"), ("plan_v2.md", f"{half} {prose(4, 80)}"))) == 1
    )
    assert families(("plan_v1.md", prose(3)), ("plan_v2.md", prose(4))) == []


def test_copies_in_other_folders_are_no_versions() -> None:
    assert families(("a/plan.md", TEXT), ("b/Copy of plan.md", changed(TEXT, 60))) == []


def test_same_title_at_another_date_is_a_version() -> None:
    days = {0: date(2024, 5, 1), 1: date(2023, 5, 1)}
    [family] = families(("a/plan.md", TEXT), ("b/plan.md", changed(TEXT, 30)), days=days)
    assert family.newest == 0
    assert families(("a/plan.md", TEXT), ("b/plan.md", changed(TEXT, 30)), days=days, talk=True) == []


def test_a_series_is_no_family() -> None:
    assert families(*((f"weekly-2024-0{n}-01.md", prose(10 + n)) for n in range(1, 6))) == []


def test_minutes_of_two_days_are_no_versions_however_alike() -> None:
    days = {0: date(2024, 5, 6), 1: date(2024, 5, 13)}
    assert (
        families(
            ("2024-05-06 product sync.md", TEXT), ("2024-05-13 product sync.md", changed(TEXT, 30)), days=days
        )
        == []
    )
    [family] = families(
        ("2024-05-06 product sync v1.md", TEXT), ("2024-05-06 product sync v2.md", changed(TEXT, 30))
    )
    assert family.newest == 1
    policies = ("incident policy 2024-05-06.md", TEXT), ("incident policy 2024-05-13.md", changed(TEXT, 30))
    assert len(families(*policies)) == 1
    [family] = families(("2024-05-06 plan.md", TEXT), ("2024-05-13 plan.md", changed(TEXT, 30)))
    assert family.newest == 1


def test_an_exact_copy_with_another_mark_is_a_version() -> None:
    [family] = families(("plan v2.md", TEXT), ("plan final.md", TEXT))
    assert family.newest == 1


DIFFERENT = [Dated("s", f"{name}.md", 0, "", (), None, False) for name in ("one", "two", "three")]


def test_too_many_shingles_are_thinned_alike() -> None:
    few = Fingerprints(most_shingles=100)
    for number, text in enumerate((TEXT, changed(TEXT, 100), prose(7))):
        few.add(number, text, split_words(text))
    assert few.one_in > 1
    [pair] = few.pairs(Kinship(DIFFERENT), SilentProgress())
    assert (pair.first, pair.second) == (0, 1)


def test_exact_groups_ignore_case_and_space() -> None:
    prints = Fingerprints()
    for number, text in enumerate(("One two", "other", "one  TWO\n", "one two three")):
        prints.add(number, text, split_words(text))
    assert prints.exact_groups() == [[0, 2]]


def test_only_what_shares_a_name_or_a_title_may_have_versions() -> None:
    names = ["a/plan_v1.md", "b/plan_v2.md", "other.md", "third.md"]
    documents = [Dated("s", name, 0, "", (), None, False) for name in names]
    documents += [Dated("s", f"{n}.md", 0, "Notes on lamps", (), None, False) for n in range(2)]
    documents += [Dated("s", "plan_v3.md", 0, "Notes on lamps", (), None, True)]
    kin = Kinship(documents)
    assert [code.tolist() for code in kin.codes] == [[0, 0, -1, -1, -1, -1, -1], [-1, -1, -1, -1, 0, 0, -1]]
    assert kin(np.array([0, 0, 4]), np.array([1, 2, 5])).tolist() == [True, False, True]


def test_a_name_that_very_many_share_says_nothing() -> None:
    documents = [Dated("s", f"{n}/index.md", 0, "", (), None, False) for n in range(100)]
    assert all((code == -1).all() for code in Kinship(documents).codes)


def test_of_hundreds_made_of_one_form_only_what_holds_them_together_is_kept() -> None:
    fingerprints = Fingerprints()
    documents = []
    for number in range(300):
        text = f"{TEXT} form number {number} of many"
        fingerprints.add(number, text, split_words(text))
        documents.append(
            Dated("s", f"{chr(97 + number // 26)}{chr(97 + number % 26)}.md", 0, "", (), None, False)
        )
    pairs = fingerprints.pairs(Kinship(documents), SilentProgress())
    assert len(pairs) == 299
    assert len(clusters([(pair.first, pair.second) for pair in pairs])) == 1
