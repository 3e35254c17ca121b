"""Arithmetic of scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rows import Row, parse_row
from benchmarks.score import Scored, abs_error_quantile, score_rows, source_table, weighted_quantile
from tests.benchmarks.published import cells


def row_of(source: str, measured: str) -> Row:
    return parse_row(2, cells(source=source, measured_tokens_per_s_per_gpu=measured))


def scored_of(source: str, error: float) -> Scored:
    return Scored(row_of(source, "100"), 100.0, 100.0 * (1 + error))


def test_error_is_relative_to_what_was_measured() -> None:
    assert scored_of("lab", 0.25).error == pytest.approx(0.25)
    assert Scored(row_of("lab", "200"), 200.0, 100.0).error == pytest.approx(-0.5)


def test_rows_without_a_rate_are_not_scored() -> None:
    rows = [row_of("lab", "100"), row_of("lab", ""), row_of("lab", "0")]
    assert len(score_rows(rows, lambda row: 90.0)) == 1


def test_sources_count_the_same_whatever_their_rows() -> None:
    many = [scored_of("large", 0.02)] * 90 + [scored_of("large", 0.30)] * 10
    one = [scored_of("small", 0.10)]
    assert abs_error_quantile(many + one, 0.5) == pytest.approx(0.10)
    assert abs_error_quantile(many, 0.5) == pytest.approx(0.02)
    assert abs_error_quantile(many + one, 0.94) == pytest.approx(0.10)
    assert abs_error_quantile(many + one, 0.96) == pytest.approx(0.30)


def test_table_has_a_line_a_source() -> None:
    table = source_table(
        [scored_of("a", 0.1), scored_of("b", -0.4), scored_of("b", 0.2), scored_of("b", 0.3)]
    )
    assert [(line.source, line.rows) for line in table] == [("a", 1), ("b", 3)]
    assert table[1].median_abs_error == pytest.approx(0.3)
    assert table[1].worst.error == pytest.approx(-0.4)


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        weighted_quantile([], [], 0.5)


values = st.lists(st.floats(0, 100), min_size=1, max_size=30)


@given(values, st.floats(0.01, 1))
def test_a_quantile_is_a_value_with_its_share_below_and_grows_with_the_share(
    found: list[float], share: float
) -> None:
    weights = [1.0] * len(found)
    quantile = weighted_quantile(found, weights, share)
    assert quantile in found
    assert sum(1 for value in found if value <= quantile) >= share * len(found) - 1e-6
    assert quantile <= weighted_quantile(found, weights, 1.0) == max(found)
    assert quantile == weighted_quantile(found, [7.0] * len(found), share)
