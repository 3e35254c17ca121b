from __future__ import annotations

import math

import numpy as np
import pytest

from forge.evaluate.paired import mcnemar_p, ratio_difference


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        (0, 0, 1.0),
        (1, 1, 1.0),
        (0, 6, 2 / 2**6),
        (1, 7, 2 * (1 + 8) / 2**8),
        # The binomial test of 5 in 24: as R's binom.test(5, 24) prints.
        (5, 19, 0.006611),
    ],
)
def test_mcnemar_is_the_binomial_test_of_what_differs(one: int, other: int, p: float) -> None:
    assert mcnemar_p(one, other) == mcnemar_p(other, one) == pytest.approx(p, rel=1e-3)


def test_many_pairs_are_no_trouble() -> None:
    p = mcnemar_p(5_000, 5_200)
    z = 199 / math.sqrt(10_200)  # with a correction for continuity
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.02)


def test_a_difference_on_every_document_is_sure_and_noise_is_not() -> None:
    source = np.random.default_rng(1)
    sizes = source.integers(100, 1_000, 60).astype(float)
    bits = sizes * source.uniform(1, 3, 60)
    worse = ratio_difference(bits.tolist(), (bits + 0.05 * sizes).tolist(), sizes.tolist())
    assert worse.difference == pytest.approx(0.05)
    assert worse.low_95 == pytest.approx(0.05)
    assert worse.p_value < 0.001
    noisy = bits + sizes * source.normal(0, 0.5, 60)
    noise = ratio_difference(bits.tolist(), noisy.tolist(), sizes.tolist())
    assert noise.low_95 < noise.difference < noise.high_95
    # The interval of a mean is its standard error, to the accuracy of a bootstrap.
    gaps = noisy - bits
    error = np.std(gaps - noise.difference * sizes) / sizes.mean() / math.sqrt(60)
    assert noise.high_95 - noise.low_95 == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert noise == ratio_difference(bits.tolist(), noisy.tolist(), sizes.tolist())
    same = ratio_difference(bits.tolist(), bits.tolist(), sizes.tolist())
    assert (same.difference, same.p_value) == (0, 1)
