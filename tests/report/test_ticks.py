from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.report.ticks import linear_ticks, log_ticks, tick_text, time_texts


@given(st.floats(-1e6, 1e6), st.floats(1e-2, 1e6), st.integers(4, 9))
def test_ticks_are_within_evenly_apart_and_not_too_many(low: float, span: float, most: int) -> None:
    high = low + span
    ticks = linear_ticks(low, high, most)
    assert 1 <= len(ticks) <= most
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in ticks)
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    assert all(gap == pytest.approx(gaps[0]) for gap in gaps)


def test_ticks_are_round() -> None:
    assert linear_ticks(0, 293, 7) == [0, 50, 100, 150, 200, 250]
    assert linear_ticks(5, 5, 7) == [5]


@given(st.floats(1e-9, 1e6), st.floats(1.5, 1e9), st.integers(2, 8))
def test_ticks_of_a_logarithmic_axis_are_within(low: float, factor: float, most: int) -> None:
    ticks = log_ticks(low, low * factor, most)
    assert len(ticks) <= most
    assert all(low * 0.999 <= tick <= low * factor * 1.001 for tick in ticks)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.002, "0.002"),
        (2e-5, "2e-05"),
        (6.5, "6.5"),
        (1_500, "1,500"),
        (20_000, "20k"),
        (1_500_000, "1.5M"),
        (-3, "-3"),
    ],
)
def test_a_tick_is_short(value: float, said: str) -> None:
    assert tick_text(value) == said


@pytest.mark.parametrize(
    ("times_s", "said"),
    [
        ([0.0, 60.0, 120.0], ["0 s", "1 min 00 s", "2 min 00 s"]),
        ([None, 10.2, 10.4, 11.0, None], ["", "10.2 s", "10.4 s", "11.0 s", ""]),
        ([200.01, 200.04, 200.06], ["200.01 s", "200.04 s", "200.06 s"]),
        ([1.0, 1.0], ["1.000 s", "1.000 s"]),
    ],
)
def test_neighbouring_times_differ_where_they_can(times_s: list[float | None], said: list[str]) -> None:
    assert time_texts(times_s) == said
