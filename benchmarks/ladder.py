"""How well small runs predict larger ones: ladders that others trained and published, predicted as forge would.

    python -m benchmarks.ladder > benchmarks/ladder.md

ladders.csv holds held-out losses of Gadre et al. 2024 (arXiv:2403.08540, github.com/mlfoundations/scaling,
exp_data/models): open_lm models from 11M to 6.9B parameters, each trained on 20 tokens a parameter of C4 or RedPajama
and measured on several texts. Sequences are of 2,048 tokens. The models are no ladder of forge's: depth and width do
not grow in step (8, 8, 24, 24, 24, 32 layers), the smallest is 7 times smaller than the next, and the largest has
another learning rate.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.run.scaling_law import INTERVAL, Prediction, predict_loss

DATA = Path(__file__).parent / "ladders.csv"
SEQUENCE_LENGTH = 2048
SEED = 0

PREDICTED = ((0, 4, 4), (0, 4, 5), (0, 5, 5), (1, 4, 4), (1, 5, 5))
"""(first, end, predicted): of six models by size, from which is predicted which."""


@dataclass(frozen=True, slots=True)
class Case:
    """One prediction beside what came."""

    trained_on: str
    measured_on: str
    runs: int
    times_compute: float
    """Of the run predicted, over the largest that it is predicted from."""
    prediction: Prediction
    loss_nats: float

    @property
    def error(self) -> float:
        """Of the prediction, as a fraction of what came."""
        return self.prediction.loss_nats / self.loss_nats - 1

    @property
    def is_inside(self) -> bool:
        """Whether what came is inside the interval."""
        return self.prediction.low_nats <= self.loss_nats <= self.prediction.high_nats


def cases() -> Iterator[Case]:
    """Yield every prediction."""
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for trained_on, measured_on in dict.fromkeys((row["trained_on"], row["measured_on"]) for row in rows):
        ladder = [row for row in rows if (row["trained_on"], row["measured_on"]) == (trained_on, measured_on)]
        flops = [_compute_flops(row) for row in ladder]
        losses = [float(row["loss_nats"]) for row in ladder]
        for first, end, predicted in PREDICTED:
            yield Case(
                trained_on,
                measured_on,
                end - first,
                flops[predicted] / flops[end - 1],
                predict_loss(flops[first:end], losses[first:end], flops[predicted], SEED),
                losses[predicted],
            )


def _compute_flops(row: dict[str, str]) -> float:
    """6 N of the weights in matrix products, and attention, a token: as `forge.plan.model` counts."""
    attention = 12.0 * int(row["layers"]) * int(row["hidden_size"]) * SEQUENCE_LENGTH
    return (6.0 * int(row["parameters_without_embedding"]) + attention) * int(row["tokens"])


def main() -> None:
    """Print the table."""
    found = list(cases())
    print("# Ladders that others published, predicted\n")
    print(
        f"Losses in nats a token; the interval is of {INTERVAL:.0%}. Made by `python -m benchmarks.ladder`.\n"
    )
    print("| trained on | measured on | from | compute | predicted | interval | came | error | inside |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in found:
        of = case.prediction
        print(
            f"| {case.trained_on} | {case.measured_on} | {case.runs} runs | × {case.times_compute:.0f} "
            f"| {of.loss_nats:.3f} | {of.low_nats:.3f} to {of.high_nats:.3f} | {case.loss_nats:.3f} "
            f"| {100 * case.error:+.1f} % | {'yes' if case.is_inside else 'no'} |"
        )
    errors = sorted(abs(case.error) for case in found)
    inside = sum(case.is_inside for case in found)
    print(
        f"\nInside the interval: {inside} of {len(found)}. Median error {100 * errors[len(errors) // 2]:.1f} %, "
        f"largest {100 * errors[-1]:.1f} %."
    )


if __name__ == "__main__":
    main()
