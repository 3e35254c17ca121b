"""The preference loss against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from forge.engine.preference_loss import (
    MarginSums,
    PairBatch,
    answer_log_probabilities,
    margin_fields,
    preference_loss,
)

# Two rows of 6 tokens: a pair in the first, two in the second; targets of no answer cost nothing.
NATS = torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.5, 0.0], [3.0, 0.25, 1.0, 0.5, 0.0, 2.0]])
SPANS: tuple[tuple[int, int, int, int], ...] = ((0, 0, 3, 5), (1, 0, 1, 2), (1, 2, 4, 6))
SAID = [[-3.0, -0.5], [-3.0, -0.25], [-1.5, -2.0]]
REFERENCE = [[-4.0, -0.5], [-2.0, -1.25], [-1.5, -2.0]]
MARGINS = [0.2, -0.4, 0.0]  # beta 0.2 times (1 - 0), (-1 - 1), (0 - 0)


def batch(of_step: float = 3.0) -> PairBatch:
    return PairBatch(SPANS, torch.tensor(REFERENCE), 0.2, of_step)


def test_log_probabilities_are_sums_over_each_answer() -> None:
    assert answer_log_probabilities(NATS, SPANS).tolist() == SAID
    assert answer_log_probabilities(NATS, ()).shape == (0, 2)


def test_the_loss_by_hand() -> None:
    loss, margins = preference_loss(NATS, batch())
    assert margins.tolist() == pytest.approx(MARGINS)
    by_hand = sum(math.log1p(math.exp(-margin)) for margin in MARGINS) / 3
    assert float(loss) == pytest.approx(by_hand, abs=1e-7)


def test_pairs_weigh_alike_however_many_a_micro_batch_has() -> None:
    both = float(preference_loss(NATS, batch(of_step=3.0))[0])
    cuts = (slice(0, 1), slice(1, 3))
    parts = [PairBatch(SPANS[cut], torch.tensor(REFERENCE[cut]), 0.2, 3.0 / 2) for cut in cuts]
    # The engine takes the mean over micro-batches.
    assert sum(float(preference_loss(NATS, part)[0]) for part in parts) / 2 == pytest.approx(both)


def test_the_gradient_makes_preferred_answers_likelier_and_the_others_less_so() -> None:
    nats = NATS.clone().requires_grad_()
    loss, margins = preference_loss(nats, batch())
    assert not margins.requires_grad
    (gradient,) = torch.autograd.grad(loss, nats)
    for (row, first, middle, end), margin in zip(SPANS, MARGINS, strict=True):
        # Eq. 7's gradient: beta sigmoid(-margin), most where the model is most wrong.
        weight = 0.2 / (1 + math.exp(margin)) / 3
        assert gradient[row, first:middle].tolist() == pytest.approx([weight] * (middle - first))
        assert gradient[row, middle:end].tolist() == pytest.approx([-weight] * (end - middle))
    assert gradient[0, 5] == 0


def test_a_model_that_is_the_reference_has_the_loss_of_a_coin() -> None:
    pairs = PairBatch(SPANS, torch.tensor(SAID), 0.2, 3.0)
    assert float(preference_loss(NATS, pairs)[0]) == pytest.approx(math.log(2))


def test_what_events_say_of_margins() -> None:
    sums = MarginSums.zero(torch.device("cpu"))
    assert margin_fields(sums.values()) == {"reward_margin": None, "preference_accuracy": None}
    sums.add(None)
    sums.add(torch.tensor([0.5, -1.5, 0.0]))
    sums.add(torch.tensor([3.0]))
    assert margin_fields(sums.values()) == {"reward_margin": 0.5, "preference_accuracy": 0.5}
