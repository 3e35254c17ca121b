from __future__ import annotations

from datetime import date

import pytest

from forge.data.naming import in_old_folder, parse_name

PLAN = ("travel", "plan")


@pytest.mark.parametrize(
    ("name", "numbers", "rank"),
    [
        ("Travel Plan", (), 0),
        ("travel_plan_v2", (2,), 0),
        ("travel-plan-v1.10", (1, 10), 0),
        ("travel plan rev3", (3,), 0),
        ("travel plan (version 2)", (2,), 0),
        ("Travel Plan DRAFT", (), -2),
        ("travel_plan_final", (), 2),
        ("travel plan FINAL2", (), 2.02),
        ("travel_plan_final_final", (), 2.5),
        ("travel_plan_v3_final", (3,), 2),
        ("travel-plan-approved", (), 3),
        ("travel_plan_old", (), -3),
        ("Copy of travel plan v2", (2,), 0),
        ("travel plan 2nd draft", (2,), -2),
    ],
)
def test_marks_are_taken_off_the_stem(name: str, numbers: tuple[int, ...], rank: float) -> None:
    found = parse_name(name)
    assert (found.stem, found.numbers) == (PLAN, numbers)
    assert found.rank == pytest.approx(rank)


@pytest.mark.parametrize(
    "name", ["Copy of travel plan", "travel plan (1)", "travel plan - Copy", "Kopie von travel plan"]
)
def test_copies_are_no_versions(name: str) -> None:
    assert parse_name(name).copied
    assert parse_name(name).marks == parse_name("travel plan").marks


def test_dates_and_years_are_read() -> None:
    assert parse_name("travel_plan_20240131").day == date(2024, 1, 31)
    assert parse_name("travel plan 2023").day == date(2023, 12, 31)
    assert parse_name("travel plan 2023").stem == PLAN


@pytest.mark.parametrize(
    "name", ["new hire guide", "invoice-1042", "current account rules", "draft beer menu"]
)
def test_words_within_a_name_are_no_marks(name: str) -> None:
    assert parse_name(name).marks == ((), 0.0)
    assert len(parse_name(name).stem) == len(name.replace("-", " ").split())


def test_folders_may_say_that_all_in_them_is_old() -> None:
    assert in_old_folder("policies/old/travel.md")
    assert in_old_folder("archive/travel.md")
    assert not in_old_folder("golden/archiver/old.md")
