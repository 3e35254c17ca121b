from __future__ import annotations

import pytest

from forge.evaluate.intervals import wilson_95


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # The score interval without continuity correction (Newcombe 1998, Stat. Med. 17:857, table I).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_95(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_its_ends_are_shares() -> None:
    assert wilson_95(0, 0) == (0.0, 1.0)
    for trials in (1, 2, 7, 1_000):
        assert wilson_95(0, trials)[0] == 0.0
        assert wilson_95(trials, trials)[1] == 1.0
        assert wilson_95(trials, trials)[0] == pytest.approx(1 - wilson_95(0, trials)[1])
