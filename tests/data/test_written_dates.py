from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.written_dates import day_in_name, find_days, whole_day

DAYS = st.dates(date(1970, 1, 1), date(2099, 12, 31))


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d %b %Y", "%b %d, %Y", "%d.%m.%Y", "%Y/%m/%d"]
)
@settings(deadline=None)
@given(day=DAYS)
def test_days_are_read_as_they_are_written(form: str, day: date) -> None:
    text = f"On {day.strftime(form)} it began."
    [found] = find_days(text)
    assert (found.day, found.exact) == (day, True)
    assert text[found.start : found.end] == day.strftime(form)


def test_months_and_quarters_end_on_their_last_day() -> None:
    assert [(one.day, one.exact) for one in find_days("Q1 2024, then February 2023")] == [
        (date(2024, 3, 31), False),
        (date(2023, 2, 28), False),
    ]


@pytest.mark.parametrize(
    "text", ["1.2.3", "version 10.11.12", "2024-13-40", "call 555-2019", "31 February 2024", "1999"]
)
def test_other_numbers_are_no_days(text: str) -> None:
    assert list(find_days(text)) == []


@settings(deadline=None)
@given(day=DAYS)
def test_names_bear_days(day: date) -> None:
    for form in ("%Y-%m-%d", "%Y%m%d", "%Y_%m_%d"):
        assert day_in_name(f"minutes_{day.strftime(form)}_final") == day


def test_a_longer_number_in_a_name_is_no_day() -> None:
    assert day_in_name("invoice-1202401159") is None


@pytest.mark.parametrize(
    ("text", "day"),
    [
        (" 31. Januar 2024 ", date(2024, 1, 31)),
        ("January 31st, 2024", date(2024, 1, 31)),
        ("31.01.2024", date(2024, 1, 31)),
        ("2024/01/31", date(2024, 1, 31)),
        ("03/04/2024", None),  # March or April
        ("Q1 2024", None),
        ("May 2024", None),
        ("on 31 January 2024", None),
        ("", None),
    ],
)
def test_a_text_that_is_one_day(text: str, day: date | None) -> None:
    assert whole_day(text) == day
