"""Direct preference optimization: the preferred of two answers is to gain more on a reference model than the other.

loss = -log sigmoid(beta ((log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected))))

p is the model, r the reference, both given the prompt (Rafailov et al. 2023, eq. 7). What the sigmoid is taken of is
the margin: the difference of the two answers' implicit rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from forge.data.pairs import Pairs, Reference


@dataclass(frozen=True, slots=True)
class PairBatch:
    """The pairs in a micro-batch."""

    spans: tuple[tuple[int, int, int, int], ...]
    """Of each: its row, and where in it the preferred conversation begins, the other one, and what comes after."""
    reference: torch.Tensor
    """Log-probabilities of both answers under the reference, fp32 [pairs, 2]."""
    beta: float
    of_step: float
    """Pairs of the step, a mean over all its micro-batches: what sums are divided by."""

    @classmethod
    def of(
        cls, pairs: Pairs, reference: Reference, beta: float, of_step: float, device: torch.device
    ) -> PairBatch:
        """Return `pairs`, with what `reference` says of them, on `device`."""
        said = torch.from_numpy(reference.of(pairs)).to(device)
        return cls(spans_of(pairs), said, beta, of_step)


def spans_of(pairs: Pairs) -> tuple[tuple[int, int, int, int], ...]:
    """Return row, beginnings of both conversations and end of each pair."""
    columns = (pairs.row, pairs.chosen, pairs.rejected, pairs.end)
    return tuple(zip(*(column.tolist() for column in columns), strict=True))


def answer_log_probabilities(
    nats: torch.Tensor, spans: tuple[tuple[int, int, int, int], ...]
) -> torch.Tensor:
    """Return the log-probability of both answers of each pair, fp32 [len(spans), 2].

    Args:
        nats: cross-entropy of the target of each token, fp32 [rows, length]; 0 where it is of no answer.
        spans: of the pairs.
    """
    # The target of a conversation's last token is no part of an answer. One sum after another: the same every time,
    # which adding up by index on a GPU is not.
    sums = [
        nats[row, begin:stop].sum()
        for row, first, middle, end in spans
        for begin, stop in ((first, middle), (middle, end))
    ]
    return -torch.stack(sums).view(-1, 2) if sums else nats.new_zeros(0, 2)


def margins(log_probabilities: torch.Tensor, reference: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the margin of each pair, fp32 [pairs], of two [pairs, 2]."""
    gain = log_probabilities - reference
    return beta * (gain[:, 0] - gain[:, 1])


def preference_loss(nats: torch.Tensor, pairs: PairBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of a micro-batch, nats a pair of the step, and the margin of each pair, without gradient.

    Args:
        nats: see `answer_log_probabilities`.
        pairs: those in the micro-batch.
    """
    found = margins(answer_log_probabilities(nats, pairs.spans), pairs.reference, pairs.beta)
    loss = -torch.nn.functional.logsigmoid(found).sum() / pairs.of_step
    return loss, found.detach()


@dataclass(slots=True)
class MarginSums:
    """What a rank has seen of margins, summed on its device."""

    sums: torch.Tensor
    """fp64: of the margins, of those above 0, of all."""

    @classmethod
    def zero(cls, device: torch.device) -> MarginSums:
        """Return those of no pair."""
        return cls(torch.zeros(3, dtype=torch.float64, device=device))

    def add(self, found: torch.Tensor | None) -> None:
        """Add the margins of some pairs; None: there are none."""
        if found is not None:
            self.sums += torch.stack([found.sum(), (found > 0).sum(), found.new_tensor(len(found))]).double()

    def values(self) -> list[float]:
        """Return the sums, which add up over ranks."""
        values: list[float] = self.sums.tolist()
        return values


def margin_fields(sums: Sequence[float]) -> dict[str, float | None]:
    """Return what an event says of margins, of `MarginSums.values` added up; null where there is no pair."""
    margin, preferred, pairs = sums
    if not pairs:
        return {"reward_margin": None, "preference_accuracy": None}
    return {"reward_margin": margin / pairs, "preference_accuracy": preferred / pairs}
