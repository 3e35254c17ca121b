"""The command path of a ladder, with losses from a curve in the place of trainings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from forge.cli.climbing import climb
from forge.cli.compiling import compile_overrides
from forge.cli.ladder import is_ladder, ladder_of
from forge.errors import SpecError
from forge.plan.model import model_flops_per_token
from tests.plan.specs import LAPTOP, compiled

BIG = ["+recipe=legal_7b", "hardware=8xh100", "sweep=ladder"]
BEST_RATE = 1.4
"""Times what is expected."""


def test_smaller_rungs_come_first_and_the_larger_are_trained_at_the_rate_they_find(tmp_path: Path) -> None:
    run = compile_overrides(BIG, LAPTOP, needs_data=False)
    assert is_ladder(BIG)
    ladder = ladder_of(run, LAPTOP)
    asked: list[list[str]] = []

    def loss(line: Sequence[str]) -> float:
        plan = compiled(*line)
        flops = plan.schedule.tokens * model_flops_per_token(plan.model, plan.schedule.sequence_length)
        rung = next(each for each in ladder.rungs if each.compute_flops == flops)
        off = math.log(plan.schedule.learning_rate / rung.changes["train.learning_rate"] / BEST_RATE)
        return float(1.7 + 2.0 * (flops / 1e18) ** -0.15 + 0.02 * off**2)

    def run_points(name: str, points: Sequence[list[str]]) -> list[dict[str, Any]]:
        asked.append([" ".join(point) for point in points])
        return [
            {
                "name": "rung",
                "plan_id": f"{len(asked)}-{number}",
                "evaluation": {"held_out_loss_nats_per_token": loss(point)},
            }
            for number, point in enumerate(points)
        ]

    outcome, file = climb(BIG, run, ladder, run_points, tmp_path)
    assert [len(lines) for lines in asked] == [6, 3]
    assert all(line.startswith(" ".join(BIG)) for line in asked[0])
    assert outcome.rate_factor == pytest.approx(BEST_RATE, rel=0.02)
    expected = 1.7 + 2.0 * (ladder.run_compute_flops / 1e18) ** -0.15
    assert outcome.prediction.low_nats < expected < outcome.prediction.high_nats
    assert outcome.prediction.loss_nats == pytest.approx(expected, rel=0.02)
    assert file == tmp_path / "ladders" / f"legal_7b-{run.plan.id}" / "ladder.json"
    kept = json.loads(file.read_text())
    assert len({point["run"] for point in kept["runs"]}) == 9
    assert kept["outcome"]["prediction"]["loss_nats"] == outcome.prediction.loss_nats


def test_a_ladder_that_cannot_be_says_where_it_was_asked_for() -> None:
    overrides = ["+recipe=legal_tiny", "hardware=cpu", "sweep=ladder", "train.tokens=20000000"]
    tiny = compile_overrides(overrides, LAPTOP, needs_data=False)
    with pytest.raises(SpecError, match=r"conf/sweep/grid.yaml:8: sweep.share: 0.02 of the run's cost"):
        ladder_of(tiny, LAPTOP)
    assert not is_ladder(BIG[:2])
    assert not is_ladder([*BIG, "no.such=key"])
