"""A short run of benchmarks/chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import chaos, chaos_plan


@pytest.mark.soak
@pytest.mark.parametrize(("zero_stage", "precision"), [(2, "bf16"), (3, "fp32")])
def test_kills_at_random_moments_change_nothing(zero_stage: int, precision: str, tmp_path: Path) -> None:
    kills = 3
    tally = chaos(chaos_plan(2, zero_stage, precision), kills, seed=zero_stage, folder=tmp_path)
    assert sum(tally.kills.values()) >= kills
    assert (tally.lost, tally.repeated, tally.different) == (0, 0, 0)
