from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.audit.advice import REPEAT_DECAY, advise, need, worth


def test_repeating_is_worth_what_the_paper_says() -> None:
    assert worth(1e9, 1) == pytest.approx(1e9)
    assert worth(1e9, 4) == pytest.approx(1e9 * (1 + REPEAT_DECAY * (1 - math.exp(-3 / REPEAT_DECAY))))
    assert worth(1e9, 4) > 0.9 * 4e9
    assert worth(1e9, 1e6) == pytest.approx(1e9 * (1 + REPEAT_DECAY))


@given(st.floats(0.01, 1e5), st.floats(0.01, 1e5))
def test_more_epochs_are_never_worth_less_nor_more_than_fresh_text(one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert worth(1.0, few) <= worth(1.0, many) + 1e-9
    assert worth(1.0, many) <= many + 1e-9


@pytest.mark.parametrize(
    ("tokens", "parameters", "changing", "way"),
    [
        (100_000, 1_000_000_000, 0.0, "retrieval"),
        (5_000_000, 1_000_000_000, 0.0, "fine-tuning"),
        (5_000_000, 1_000_000_000, 0.4, "retrieval"),
        (200_000_000, 1_000_000_000, 0.0, "continued pretraining"),
        (5_000_000_000, 1_000_000_000, 0.0, "from scratch"),
        (4_999_999_999, 1_000_000_000, 0.0, "continued pretraining"),
    ],
)
def test_the_way_follows_the_tokens(tokens: int, parameters: int, changing: float, way: str) -> None:
    advice = advise(tokens, parameters, changing, 0)
    assert advice.recommendation == way
    assert advice.reasons
    assert advice.would_change


def test_a_model_asks_twenty_tokens_a_parameter() -> None:
    found = need(1_000_000_000, 10_000_000_000)
    assert (found.compute_optimal_tokens, found.epochs) == (20_000_000_000, 2.0)
