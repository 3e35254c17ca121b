"""What the data can do: tokens there are against tokens a model needs, and which way to use them.

Needs: about 20 training tokens a parameter are compute-optimal (Hoffmann et al. 2022, arXiv:2203.15556, approach 1 and
table 3). Repeating: U distinct tokens seen R more times are worth U + U * R* (1 - exp(-R / R*)) fresh ones with
R* = 15.39, and up to 4 epochs cost next to nothing (Muennighoff et al. 2023, arXiv:2305.16264, eq. 5, fig. 1).
Going on with pretraining on a domain paid off for corpora of some billion tokens, and on a task's own text of far fewer
(Gururangan et al. 2020, arXiv:2004.10964, table 2); the bounds below are forge's reading of these, not theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TOKENS_PER_PARAMETER = 20
FREE_EPOCHS = 4
REPEAT_DECAY = 15.39
USUAL_MODELS = (100_000_000, 1_000_000_000, 7_000_000_000)

LEAST_TOKENS_CONTINUED = 50_000_000
"""Below, a few thousand optimiser steps at any usual batch are not to be had without repeating more than is free."""
LEAST_TOKENS_FINE_TUNING = 1_000_000
"""About a thousand examples of a thousand tokens (Zhou et al. 2023, arXiv:2305.11206, got far with a thousand)."""
CHANGING_SHARE = 0.1
"""When more of the documents are superseded or in conflict, what is true changes faster than a model is trained."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a model of this size asks for, and what there is."""

    parameters: int
    compute_optimal_tokens: int
    epochs: float
    """Over the usable tokens, to see that many."""
    worth_tokens: int
    """What those epochs are worth in fresh tokens."""
    verdict: str


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation with its reasons."""

    recommendation: str
    """'retrieval', 'fine-tuning', 'continued pretraining' or 'from scratch'."""
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    needs: tuple[Need, ...]
    largest_from_scratch_parameters: int
    """Compute-optimal in FREE_EPOCHS epochs of the usable tokens."""


def worth(distinct_tokens: float, epochs: float) -> float:
    """Return what `epochs` over `distinct_tokens` are worth in fresh tokens (Muennighoff et al. 2023, equation 5)."""
    repeats = max(0.0, epochs - 1)
    return distinct_tokens * (min(1.0, epochs) + REPEAT_DECAY * (1 - math.exp(-repeats / REPEAT_DECAY)))


def need(parameters: int, usable_tokens: int) -> Need:
    """Return what a model of `parameters` asks of `usable_tokens`."""
    optimal = TOKENS_PER_PARAMETER * parameters
    epochs = optimal / max(1, usable_tokens)
    valued = worth(usable_tokens, epochs)
    if epochs <= 1:
        verdict = "enough without repeating"
    elif epochs <= FREE_EPOCHS:
        verdict = f"enough with {epochs:.1f} epochs, which cost next to nothing"
    elif valued >= 0.5 * optimal:
        verdict = f"{epochs:.0f} epochs, worth {valued / optimal:.0%} of what fresh text would be"
    else:
        verdict = f"not enough: {epochs:,.0f} epochs would be worth {valued / optimal:.1%} of the fresh tokens asked"
    return Need(parameters, optimal, epochs, round(valued), verdict)


def advise(usable_tokens: int, asked_parameters: int | None, changing_share: float, conflicts: int) -> Advice:
    """Recommend a way.

    Args:
        usable_tokens: without copies, older versions and what says it is superseded.
        asked_parameters: of the model that was asked about, None for the usual ones.
        changing_share: of the documents, superseded or in conflict.
        conflicts: found between documents.
    """
    asked = (asked_parameters,) if asked_parameters else USUAL_MODELS
    needs = tuple(need(parameters, usable_tokens) for parameters in asked)
    largest = FREE_EPOCHS * usable_tokens // TOKENS_PER_PARAMETER
    smallest = min(asked)
    if TOKENS_PER_PARAMETER * smallest <= FREE_EPOCHS * usable_tokens:
        way = "from scratch"
    elif usable_tokens >= LEAST_TOKENS_CONTINUED:
        way = "continued pretraining"
    elif usable_tokens >= LEAST_TOKENS_FINE_TUNING and changing_share < CHANGING_SHARE:
        way = "fine-tuning"
    else:
        way = "retrieval"
    return Advice(
        way,
        _reasons(way, usable_tokens, smallest, changing_share, conflicts),
        _changes(way, usable_tokens, smallest, changing_share),
        needs,
        largest,
    )


def _reasons(way: str, tokens: int, parameters: int, changing: float, conflicts: int) -> tuple[str, ...]:
    optimal = TOKENS_PER_PARAMETER * parameters
    reasons = [
        f"{count(tokens)} usable tokens; a model of {count(parameters)} parameters asks for "
        f"{count(optimal)} (Hoffmann 2022), "
        f"or {count(optimal / FREE_EPOCHS)} seen {FREE_EPOCHS} times (Muennighoff 2023)"
    ]
    if way == "continued pretraining":
        reasons.append(
            f"enough to move a model that can read already: {count(LEAST_TOKENS_CONTINUED)} tokens and more"
        )
    elif way == "fine-tuning":
        reasons.append(
            "too little to teach knowledge by pretraining; enough to teach form, terms and tone, with "
            "retrieval for facts"
        )
    elif way == "retrieval":
        reasons.append(
            "a base model with these documents at hand answers from the newest of them and can cite it"
        )
    if changing >= CHANGING_SHARE:
        reasons.append(
            f"{changing:.0%} of the documents are superseded or in conflict: facts belong in retrieval "
            "whatever is trained"
        )
    if conflicts:
        reasons.append(f"{conflicts} conflicts between documents: a model trained on them learns both sides")
    return tuple(reasons)


def _changes(way: str, tokens: int, parameters: int, changing: float) -> tuple[str, ...]:
    scratch = TOKENS_PER_PARAMETER * parameters // FREE_EPOCHS
    changes = []
    if way != "from scratch":
        largest = FREE_EPOCHS * tokens // TOKENS_PER_PARAMETER
        changes.append(
            f"from scratch: {count(scratch - tokens)} more usable tokens, or a model of at most "
            f"{count(largest)} parameters"
        )
    if way in ("retrieval", "fine-tuning"):
        changes.append(
            f"continued pretraining: {count(max(0, LEAST_TOKENS_CONTINUED - tokens))} more usable tokens"
        )
    if way == "retrieval" and tokens >= LEAST_TOKENS_FINE_TUNING:
        changes.append(
            f"fine-tuning: superseded and conflicting documents below {CHANGING_SHARE:.0%} (now {changing:.0%})"
        )
    elif way == "retrieval":
        changes.append(
            f"fine-tuning: {count(LEAST_TOKENS_FINE_TUNING - tokens)} more usable tokens, or a thousand "
            "written examples"
        )
    if way in ("from scratch", "continued pretraining"):
        changes.append(
            "retrieval instead: if answers must cite documents, or the documents change by the week"
        )
    return tuple(changes)


def count(value: float) -> str:
    """Return 6,738,415,616 as 6.74B."""
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"
