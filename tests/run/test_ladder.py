from __future__ import annotations

import math

import pytest

from forge.plan.ladder import RATE_FACTORS, Ladder, Rung
from forge.run.ladder import Point, best_rate_factor, changes_of, conclude, first_points, next_points


def rung(number: int, factors: tuple[float, ...]) -> Rung:
    shape = {"model.layers": 2 + number, "model.hidden_size": 64 * (1 + number)}
    changes = {"name": f"x-{number}", "train.learning_rate": 1e-3, **shape}
    return Rung(changes, 10**number, 20 * 10**number, 1e17 * 3**number, 1.0, 1.0, None, factors)


LADDER = Ladder(
    (rung(0, RATE_FACTORS), rung(1, RATE_FACTORS), rung(2, (1.0,)), rung(3, (1.0,))), 1e21, 1000.0, -0.125
)


def losses(best: float) -> dict[Point, float]:
    """Return losses of the smallest rungs that are lowest at `best` times the rate."""
    return {
        point: 3.0 - 0.2 * point.rung + 0.05 * math.log(point.rate_factor / best) ** 2
        for point in first_points(LADDER)
    }


def test_small_rungs_come_first_at_three_rates_and_large_ones_at_the_best() -> None:
    assert first_points(LADDER) == [Point(number, factor) for number in (0, 1) for factor in RATE_FACTORS]
    assert next_points(LADDER, losses(1.3)) == [Point(2, 1.3), Point(3, 1.3)]
    assert changes_of(LADDER, Point(2, 1.3))["train.learning_rate"] == 1.3e-3
    names = [changes_of(LADDER, point)["name"] for point in first_points(LADDER)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("best", "found", "edge"), [(0.7, 0.7, False), (1.0, 1.0, False), (9.0, 2.0, True)])
def test_the_best_rate_is_where_a_parabola_is_lowest(best: float, found: float, edge: bool) -> None:
    factor, at_edge = best_rate_factor(losses(best))
    assert factor == pytest.approx(found, rel=0.01)
    assert at_edge is edge


def test_a_parabola_that_opens_downwards_leaves_the_lowest_of_those_tried() -> None:
    tried = {Point(0, 0.5): 2.9, Point(0, 1.0): 3.0, Point(0, 2.0): 2.8}
    assert best_rate_factor(tried) == (2.0, True)


def test_a_ladder_says_loss_and_rate_of_the_run() -> None:
    measured = losses(1.3)
    measured |= {point: 2.7 - 0.15 * point.rung for point in next_points(LADDER, measured)}
    outcome = conclude(LADDER, measured, seed=1)
    assert outcome.rate_factor == pytest.approx(1.3, rel=0.01)
    assert outcome.losses_nats[:2] == (
        min(v for p, v in measured.items() if p.rung == 0),
        min(v for p, v in measured.items() if p.rung == 1),
    )
    assert outcome.prediction.loss_nats < outcome.losses_nats[-1]
    assert outcome == conclude(LADDER, measured, seed=1)
