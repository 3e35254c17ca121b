"""Loss as a function of compute: fitted to small runs, read off for a large one, with an interval.

The curve is E + K C^-g, which Hoffmann et al. 2022's E + A/N^a + B/D^b is along a ladder of one ratio of tokens to
parameters. As there (§3.3, Besiroglu et al. 2024 for its details) it is fitted by the Huber loss of the difference of
logarithms, delta 1e-3, and no part of it is below zero. Given g the others are a linear regression, so that g is looked
for on a grid and there is no local minimum to end in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forge.errors import SpecError

HUBER_DELTA = 1e-3
"""Of log loss: Hoffmann 2022, §3.3."""

PARAMETERS = 3

INTERVAL = 0.9

PRIOR_NOISE = 0.005
PRIOR_WEIGHT = 2.0
"""What is known of a run's distance from the curve before there is any: half a percent of its loss, which counts as
much as two residuals. Ladders that others published lie so far from theirs, and with it 26 of 30 of their larger runs
are inside the interval: benchmarks/ladder.md."""

SAMPLES = 1000

BAND_POINTS = 24
"""Of the curve that is kept with its interval, from the smallest run to the one that is predicted."""

_EXPONENTS = np.geomspace(0.02, 1.0, 160)
_STEP = float(_EXPONENTS[1] / _EXPONENTS[0])
_LOOKS = 3
_MOST_REWEIGHTINGS = 30

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """loss = irreducible_nats + reducible_nats (compute / reference_flops)^-exponent."""

    irreducible_nats: float
    """What no compute takes away (E)."""
    reducible_nats: float
    exponent: float
    reference_flops: float
    """Where the reducible part is `reducible_nats`."""

    def loss_nats(self, compute_flops: float | Floats) -> float | Floats:
        """Return the loss, in nats a token, after so much compute."""
        return (
            self.irreducible_nats
            + self.reducible_nats * (compute_flops / self.reference_flops) ** -self.exponent
        )


class BandPoint(NamedTuple):
    """The curve at some compute, and its interval there."""

    compute_flops: float
    loss_nats: float
    low_nats: float
    high_nats: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The loss of a run that was not carried out."""

    law: ScalingLaw
    loss_nats: float
    low_nats: float
    high_nats: float
    """Between these it lies with a probability of INTERVAL, where the curve holds that far."""
    noise_fraction: float
    """How far the small runs lie from the curve, of their loss."""
    band: tuple[BandPoint, ...]
    """The last is the run that is predicted."""


def fit_law(compute_flops: Sequence[float], losses_nats: Sequence[float]) -> ScalingLaw:
    """Return the curve through at least three runs.

    Args:
        compute_flops: of each run.
        losses_nats: held-out, a token, of each.

    Raises:
        SpecError: there are fewer than three different ones.
    """
    if (runs := len(set(compute_flops))) < PARAMETERS:
        raise SpecError(
            f"sweep: a curve of loss needs {PARAMETERS} runs of different compute, there are {runs}"
        )
    return _fit(np.asarray(compute_flops, float), np.asarray(losses_nats, float))


def predict_loss(
    compute_flops: Sequence[float], losses_nats: Sequence[float], run_flops: float, seed: int
) -> Prediction:
    """Return the loss that a larger run will have.

    The interval is a parametric bootstrap: the noise is drawn from what residuals and prior leave open (a scaled
    inverse chi-squared), losses from the curve and that noise, and each curve fitted to such losses says what the run's
    would be, with noise of its own.

    Args:
        compute_flops: of the small runs.
        losses_nats: of the small runs, held-out, a token.
        run_flops: of the run that is predicted.
        seed: of the bootstrap.

    Raises:
        SpecError: as `fit_law`.
    """
    law = fit_law(compute_flops, losses_nats)
    flops = np.asarray(compute_flops, float)
    expected = np.asarray(law.loss_nats(flops))
    residuals = np.log(losses_nats) - np.log(expected)
    freedom = len(flops) - PARAMETERS + PRIOR_WEIGHT
    squares = float((residuals**2).sum()) + PRIOR_WEIGHT * PRIOR_NOISE**2
    random = np.random.default_rng(seed)
    noises = np.sqrt(squares / random.chisquare(freedom, SAMPLES))
    drawn = expected * np.exp(noises[:, None] * random.standard_normal((SAMPLES, len(flops))))
    # Normal noise has no outliers for Huber's loss to make light of.
    curves = _curves(flops, drawn, drawn**-2.0, _EXPONENTS, None)
    at = np.geomspace(flops.min(), run_flops, BAND_POINTS)
    predicted = curves.losses(at) * np.exp(noises * random.standard_normal(SAMPLES))[:, None]
    ends = np.quantile(predicted, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    band = tuple(
        BandPoint(*map(float, point)) for point in zip(at, np.asarray(law.loss_nats(at)), *ends, strict=True)
    )
    last = band[-1]
    noise = float(np.sqrt(squares / freedom))
    return Prediction(law, last.loss_nats, last.low_nats, last.high_nats, noise, band)


def _fit(flops: Floats, losses: Floats) -> ScalingLaw:
    """Return the curve of the least Huber loss, by iterated reweighting, on a grid and then on a finer one in it."""
    plain = losses**-2.0
    weights, exponents = plain, _EXPONENTS
    for look in range(_LOOKS):
        for _ in range(_MOST_REWEIGHTINGS):
            curve = _curves(flops, losses[None], weights[None], exponents, HUBER_DELTA)
            distances = np.abs(np.log(losses) - np.log(curve.losses(flops)[0]))
            reweighted = plain * np.minimum(1.0, HUBER_DELTA / np.maximum(distances, 1e-12))
            if np.allclose(reweighted, weights, rtol=1e-3):
                break
            weights = reweighted
        near = _STEP ** (1.2 / 10**look)
        exponents = np.geomspace(curve.exponent[0] / near, curve.exponent[0] * near, 31)
    return ScalingLaw(
        float(curve.irreducible[0]), float(curve.reducible[0]), float(curve.exponent[0]), float(flops[-1])
    )


@dataclass(frozen=True, slots=True)
class _Curves:
    """Curves, one for each set of losses."""

    irreducible: Floats
    reducible: Floats
    exponent: Floats
    reference_flops: float

    def losses(self, flops: Floats) -> Floats:
        """Return the losses [curves, runs] of all curves."""
        powers = (flops / self.reference_flops) ** -self.exponent[:, None]
        return self.irreducible[:, None] + self.reducible[:, None] * powers


def _curves(
    flops: Floats, losses: Floats, weights: Floats, exponents: Floats, delta: float | None
) -> _Curves:
    """Return for each set of losses [sets, runs] the exponent whose regression lies nearest.

    Near is the sum of squares of differences of logarithms, or their Huber loss. A difference of log losses is one of
    losses over the loss: hence the weights.
    """
    reference = float(flops[-1])
    powers = ((flops / reference) ** -exponents[:, None])[None]
    irreducible, reducible = _regress(powers, losses[:, None], weights[:, None])
    fitted = irreducible[..., None] + reducible[..., None] * powers
    distances = np.abs(np.log(losses)[:, None] - np.log(np.maximum(fitted, 1e-9)))
    badness = (
        distances**2
        if delta is None
        else np.where(distances <= delta, distances**2 / 2, delta * (distances - delta / 2))
    )
    best = badness.sum(-1).argmin(-1)
    rows = np.arange(len(losses))
    return _Curves(irreducible[rows, best], reducible[rows, best], exponents[best], reference)


def _regress(powers: Floats, losses: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return (E, K) by weighted least squares over the last axis, E no less than 0."""
    total = weights.sum(-1)
    mean_power, mean_loss = (weights * powers).sum(-1) / total, (weights * losses).sum(-1) / total
    apart = powers - mean_power[..., None]
    reducible = (weights * apart * (losses - mean_loss[..., None])).sum(-1) / (weights * apart**2).sum(-1)
    irreducible = mean_loss - reducible * mean_power
    through_zero = (weights * powers * losses).sum(-1) / (weights * powers**2).sum(-1)
    below = irreducible < 0
    return np.where(below, 0.0, irreducible), np.where(below, through_zero, reducible)
