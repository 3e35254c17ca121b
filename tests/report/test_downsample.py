from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forge.report.downsample import kept_points

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=400)


@given(VALUES, st.integers(1, 20))
def test_ends_and_extremes_of_every_stretch_are_kept(values: list[float], stretches: int) -> None:
    kept = kept_points(values, stretches)
    assert kept == sorted(set(kept))
    assert len(kept) <= max(2 * stretches + 2, 0) or len(values) <= 2 * stretches
    assert {0, len(values) - 1} <= set(kept)
    drawn = [values[place] for place in kept]
    assert (min(drawn), max(drawn)) == (min(values), max(values))
    for number in range(stretches):
        stretch = range(number * len(values) // stretches, (number + 1) * len(values) // stretches)
        if stretch:
            of_stretch = [values[place] for place in kept if place in stretch]
            assert min(of_stretch) == min(values[place] for place in stretch)
            assert max(of_stretch) == max(values[place] for place in stretch)


def test_one_spike_in_a_hundred_thousand_steps_is_drawn_where_it_was() -> None:
    values = [1.0] * 100_000
    values[77_777] = 50.0
    assert 77_777 in kept_points(values)


def test_few_values_are_all_kept() -> None:
    assert kept_points([3.0, 1.0, 2.0]) == [0, 1, 2]
