"""benchmarks/equality.py: that it compares, and a few of the ways it compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.equality import (
    GLOBAL_BATCH_SEQUENCES,
    Way,
    losses_of,
    plan_of,
    recomputation_difference,
    reference,
    summary,
    tables,
    ways_of,
    within_bounds,
)

BASE = reference("fp32")
RECOMPUTED = replace(BASE, recomputation="full")


def test_every_way_trains_the_same_global_batch() -> None:
    ways = ways_of((1, 2, 4), ("fp32", "bf16"))
    assert len(set(ways)) == len(ways) == 3 * 4 * 3 + 3 * 3 * 3 + 2 * (3 * 4 + 3 * 3)
    plans = [plan_of(way) for way in ways]
    assert {plan.schedule.global_batch_sequences for plan in plans} == {GLOBAL_BATCH_SEQUENCES}
    assert len({plan.id for plan in plans}) == len(ways)
    assert not [way for way in ways if way.precision == "bf16" and way.zero_stage == 0]


@pytest.mark.parametrize(
    ("way", "loss", "good"),
    [
        (Way(2, 3, 2, "fp32"), 2.000004, True),
        (Way(2, 3, 2, "fp32"), 2.000006, False),
        (RECOMPUTED, 2.0, True),
        (RECOMPUTED, 2.000001, False),
    ],
)
def test_what_is_out_of_bounds_is_found(way: Way, loss: float, good: bool) -> None:
    losses = {BASE: [3.0, 2.0], way: [3.0, loss]}
    assert within_bounds(losses) is good


def test_the_table_shows_the_largest_difference_of_each_way() -> None:
    ways = ways_of((1,), ("fp32",))
    losses = {way: [3.0, 2.0] for way in ways} | {Way(1, 3, 4, "fp32"): [3.25, 1.5]}
    assert "| 1 | 4 | none | 0.0e+00 | 0.0e+00 | 0.0e+00 | 5.0e-01 |" in tables(losses).splitlines()


def test_the_summary_shows_the_largest_of_a_number_of_processes_and_a_stage() -> None:
    ways = ways_of((1, 2), ("fp32", "bf16"))
    losses = {way: [3.0, 2.0] for way in ways} | {Way(2, 3, 4, "fp32"): [3.25, 1.5]}
    assert summary(losses).splitlines()[2:] == [
        "| fp32 | 1 | 0.0e+00 | 0.0e+00 | 0.0e+00 | 0.0e+00 | 5e-06 |",
        "| fp32 | 2 | 0.0e+00 | 0.0e+00 | 0.0e+00 | 5.0e-01 | 5e-06 |",
        "| bf16 | 1 | not planned | 0.0e+00 | 0.0e+00 | 0.0e+00 | 0.004 |",
        "| bf16 | 2 | not planned | 0.0e+00 | 0.0e+00 | 0.0e+00 | 0.004 |",
    ]


@pytest.mark.soak
def test_two_processes_and_recomputation_train_as_one_process_does(tmp_path: Path) -> None:
    ways = [BASE, RECOMPUTED, Way(2, 1, 2, "fp32"), Way(2, 3, 1, "fp32"), Way(2, 3, 1, "fp32", "full")]
    losses = losses_of(ways, tmp_path)
    assert within_bounds(losses)
    assert recomputation_difference(losses) == [0.0, 0.0]
    assert losses[BASE][-1] < losses[BASE][0]
