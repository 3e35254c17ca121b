from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.run.scaling_law import INTERVAL, fit_law, predict_loss

FLOPS = [1e17 * 3**rung for rung in range(5)]
RUN = 6e21


def on_a_curve(irreducible: float, reducible: float, exponent: float, flops: float) -> float:
    return float(irreducible + reducible * (flops / FLOPS[-1]) ** -exponent)


@settings(max_examples=30)
@given(st.floats(0.5, 2.5), st.floats(0.3, 3.0), st.floats(0.05, 0.5))
def test_a_curve_is_found_again(irreducible: float, reducible: float, exponent: float) -> None:
    losses = [on_a_curve(irreducible, reducible, exponent, flops) for flops in FLOPS]
    law = fit_law(FLOPS, losses)
    assert law.loss_nats(RUN) == pytest.approx(on_a_curve(irreducible, reducible, exponent, RUN), rel=0.02)
    assert law.exponent == pytest.approx(exponent, rel=0.1)


def test_one_run_that_went_wrong_moves_the_curve_little() -> None:
    flops = [1e17 * 3**rung for rung in range(8)]
    losses = [on_a_curve(1.7, 1.0, 0.15, each) for each in flops]
    right = fit_law(flops, losses).loss_nats(RUN)
    losses[3] *= 1.05
    assert fit_law(flops, losses).loss_nats(RUN) == pytest.approx(right, rel=0.01)


def test_no_curve_goes_below_zero() -> None:
    law = fit_law(FLOPS, [10.0, 6.0, 3.0, 1.5, 0.2])
    assert law.irreducible_nats >= 0
    assert law.loss_nats(1e30) >= 0


def test_intervals_hold_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    inside = 0
    trials = 40
    for trial in range(trials):
        noise = np.exp(0.005 * random.standard_normal(6))
        curve = (random.uniform(1.0, 2.2), random.uniform(0.8, 2.0), random.uniform(0.08, 0.25))
        losses = [on_a_curve(*curve, flops) * off for flops, off in zip([*FLOPS, 1e20], noise, strict=True)]
        found = predict_loss(FLOPS, losses[:-1], 1e20, seed=trial)
        assert found.low_nats < found.high_nats
        inside += found.low_nats <= losses[-1] <= found.high_nats
    # Three standard deviations of a binomial of INTERVAL.
    assert abs(inside / trials - INTERVAL) <= 3 * (INTERVAL * (1 - INTERVAL) / trials) ** 0.5


def test_the_interval_is_wider_further_away_and_for_noisier_runs() -> None:
    smooth = [on_a_curve(1.7, 1.0, 0.15, flops) for flops in FLOPS]
    rough = [loss * (1 + off) for loss, off in zip(smooth, (0.02, -0.02, 0.02, -0.02, 0.02), strict=True)]

    def width(losses: list[float], at: float) -> float:
        found = predict_loss(FLOPS, losses, at, seed=1)
        return found.high_nats - found.low_nats

    assert width(smooth, 1e20) < width(smooth, 1e22)
    assert width(smooth, 1e20) < width(rough, 1e20)


def test_a_seed_decides_the_interval() -> None:
    losses = [on_a_curve(1.7, 1.0, 0.15, flops) for flops in FLOPS]
    assert predict_loss(FLOPS, losses, RUN, seed=5) == predict_loss(FLOPS, losses, RUN, seed=5)


def test_two_runs_make_no_curve() -> None:
    with pytest.raises(SpecError, match="needs 3 runs of different compute, there are 2"):
        fit_law([1e17, 1e17, 2e17], [3.0, 3.0, 2.9])
