from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.run.quantities import amount, count, counted, duration, figure, money, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00042, "0.42 ms"),
        (0.04, "40 ms"),
        (0.0994, "99.4 ms"),
        (0.0996, "0.1 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "bytes", "0"),
        (999, "bytes", "999"),
        (6_900_000, "bytes", "6.6 Mi"),
        (1234, "documents", "1,234"),
        (2.5, "steps", "2.5"),
        (2.0, "steps", "2"),
    ],
)
def test_amounts(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (75.59 * 1024**3, "75.6 GiB"),
        (2000 * 1024**4, "2,000.0 TiB"),
    ],
)
def test_sizes(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0000479, "0.0000479"),
        (0.0477, "0.0477"),
        (54.32, "54.3"),
        (99.96, "100"),
        (4740.4, "4,740"),
        (1e9, "1,000,000,000"),
    ],
)
def test_figures_have_no_exponent(value: float, text: str) -> None:
    assert figure(value) == text


@given(st.floats(0, 1e15))
def test_no_quantity_has_an_exponent(value: float) -> None:
    for text in (figure(value), size(value), duration(value), money(value), count(value)):
        assert "e+" not in text
        assert "e-" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(6_738_415_616, "6.74B"), (999_999, "1M"), (21.4, "21.4"), (0.04, "0.04"), (2e13, "20T")],
)
def test_large_numbers_in_short(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"),
        (0.004, "under $0.01"),
        (0.4, "$0.40"),
        (3.2, "$3.20"),
        (99.999, "$100"),
        (11_900, "$11,900"),
    ],
)
def test_money(usd: float, text: str) -> None:
    assert money(usd) == text


def test_one_thing_is_not_said_in_the_plural() -> None:
    assert [counted(number, "document") for number in (0, 1, 1263)] == [
        "0 documents",
        "1 document",
        "1,263 documents",
    ]
