"""Ladders that others published: the larger runs are where the smaller ones say."""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.ladder import cases
from forge.run.scaling_law import INTERVAL

TABLE = Path(__file__).parents[2] / "benchmarks" / "ladder.md"


def test_published_runs_are_inside_the_interval_as_often_as_it_says() -> None:
    found = list(cases())
    inside = sum(case.is_inside for case in found)
    assert len(found) == 30
    assert inside / len(found) >= INTERVAL - 0.05
    assert statistics.median(abs(case.error) for case in found) < 0.02
    assert f"Inside the interval: {inside} of {len(found)}." in TABLE.read_text(encoding="utf-8")
