from __future__ import annotations

import pytest

from forge.report.plan_part import error_text, expected_range


@pytest.mark.parametrize("slower", [0.4, 0.6, 1.0, 1.4, 1.6, 2.0])
def test_a_rate_is_in_the_band_where_its_time_is(slower: float) -> None:
    fastest_s, slowest_s = expected_range("step_time_s", 0.5, 0.5)
    fewest, most = expected_range("tokens_per_second", 2_000.0, 0.5)
    assert (fastest_s, slowest_s) == (0.25, 0.75)
    by_time = fastest_s <= 0.5 * slower <= slowest_s
    by_rate = fewest <= 2_000.0 / slower <= most
    assert by_time == by_rate == (0.5 <= slower <= 1.5)


def test_no_error_has_no_sign() -> None:
    assert error_text([811.2, 811.8]) == "0 %"
    assert error_text([1.0, 2.0]) == "-50 %"
    assert error_text([2.0, 1.0]) == "+100 %"
