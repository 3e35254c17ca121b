from __future__ import annotations

import pytest

from forge.evaluate.contamination import Overlap, Wanted, held_runs, summarize
from tests.data.builders import prose

TRAINING = [prose(seed, 200) for seed in range(300)]
SPLIT = TRAINING[7].split()


def overlaps(*texts: str, training: list[str] = TRAINING) -> list[Overlap]:
    return find({"questions": list(texts)}, training)["questions"]


def find(sets: dict[str, list[str]], training: list[str]) -> dict[str, list[Overlap]]:
    wanted = Wanted(sets)
    for first in range(0, len(training), 64):
        wanted.note(held_runs(wanted.runs, training[first : first + 64]))
    return wanted.overlaps()


@pytest.mark.parametrize("document", [0, 255, 256, 299])
def test_thirteen_words_in_a_row_are_found_in_any_document(document: int) -> None:
    shared = TRAINING[document].split()[40:53]
    (found,) = overlaps(" ".join([prose(900, 30), *shared, prose(901, 30)]))
    assert found == Overlap(runs=30 + 13 + 30 - 12, runs_found=1)
    assert found.is_contaminated


def test_twelve_words_in_a_row_are_not() -> None:
    (found,) = overlaps(" ".join([prose(900, 30), *SPLIT[40:52], prose(901, 30)]))
    assert found.runs_found == 0
    assert not found.is_contaminated


def test_cases_and_punctuation_are_levelled() -> None:
    (found,) = overlaps("“" + ", ".join(SPLIT[:13]).upper() + "!”")
    assert found == Overlap(runs=1, runs_found=1)


@pytest.mark.parametrize(("words", "runs", "found"), [(4, 0, 0), (5, 1, 1), (12, 1, 1), (14, 2, 2)])
def test_a_short_text_is_looked_for_as_a_whole(words: int, runs: int, found: int) -> None:
    assert overlaps(" ".join(SPLIT[60 : 60 + words])) == [Overlap(runs, found)]
    changed = [*SPLIT[60 : 59 + words], "otherwise"]
    # Of fourteen words the first thirteen are still a run.
    assert overlaps(" ".join(changed)) == [Overlap(runs, 1 if words == 14 else 0)]


def test_a_run_does_not_reach_from_one_document_into_the_next() -> None:
    first, second = prose(1, 20).split(), prose(2, 20).split()
    assert overlaps(" ".join(first[-7:] + second[:7]), training=[" ".join(first), " ".join(second)]) == [
        Overlap(2, 0)
    ]


def test_sets_are_told_apart() -> None:
    found = find(
        {"held_out": [prose(900, 40)], "questions": [TRAINING[3], prose(901, 4)], "none": []}, TRAINING
    )
    assert [one.is_contaminated for one in found["held_out"]] == [False]
    assert summarize(found["questions"]) == {
        "texts": 2,
        "texts_too_short": 1,
        "texts_contaminated": 1,
        "contaminated_fraction": 1.0,
        "runs": 188,
        "runs_found_fraction": 1.0,
    }
    assert summarize(found["none"])["contaminated_fraction"] is None
