from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.dates import from_datetime, from_epoch, from_mail, from_pdf, from_text, from_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-05", "2024-01-05"),
        ("2024-01-05T09:12:00Z", "2024-01-05T09:12:00Z"),
        ("2024-01-05 10:12:00.5+01:00", "2024-01-05T09:12:00Z"),
        (" 2024-01-05T09:12 ", "2024-01-05T09:12:00Z"),
        ("Jan 05, 2024", "2024-01-05"),
        ("5 January 2024", "2024-01-05"),
        ("5. Januar 2024", "2024-01-05"),
        ("05/01/2024", None),
        ("January 5, 2024 10:00 AM", "2024-01-05T10:00:00Z"),
        ("Fri, 05 Jan 2024 10:12:00 +0100", "2024-01-05T09:12:00Z"),
        ("20240105", None),
        ("yesterday", None),
        ("", None),
        ("2024-13-05", None),
        ("x" * 1_000_000, None),
    ],
)
def test_dates_as_people_and_programs_write_them(text: str, expected: str | None) -> None:
    assert from_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D:20240105101200+01'00'", "2024-01-05T09:12:00Z"),
        ("D:20240105091200Z", "2024-01-05T09:12:00Z"),
        ("D:20240105", "2024-01-05"),
        ("2024", "2024-01-01"),
        ("D:20249905", None),
        ("D:00000000", None),
        ("D:20240105101200+99'99'", None),
        ("never", None),
    ],
)
def test_dates_of_pdf(text: str, expected: str | None) -> None:
    assert from_pdf(text) == expected


def test_dates_of_mail() -> None:
    assert from_mail("Fri, 05 Jan 2024 10:12:00 +0100") == "2024-01-05T09:12:00Z"
    assert from_mail("soon") is None
    assert from_mail("") is None


def test_dates_of_other_kinds() -> None:
    assert from_value(date(2024, 1, 5)) == "2024-01-05"
    assert from_value(datetime(2024, 1, 5, 9, 12)) == "2024-01-05T09:12:00Z"
    assert from_value(1_704_445_920) is None
    assert from_epoch(1_704_445_920) == "2024-01-05T09:12:00Z"
    assert from_epoch(1e30) is None
    assert from_epoch(float("nan")) is None
    assert from_datetime(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))) is None


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_text_order_is_the_order_in_time(one: datetime, two: datetime) -> None:
    one, two = one.replace(microsecond=0), two.replace(microsecond=0)
    assert (str(from_datetime(one)) < str(from_datetime(two))) == (one < two)
    assert from_text(str(from_datetime(one))) == from_datetime(one)
