from __future__ import annotations

import pytest

from forge.run.plan_facts import times


@pytest.mark.parametrize(
    ("passes", "said"), [(1.0, "once"), (3.507, "3.5 times"), (0.112, "0.1 times"), (0.012, "0.012 times")]
)
def test_readings_are_counted_in_words(passes: float, said: str) -> None:
    assert times(passes) == said
