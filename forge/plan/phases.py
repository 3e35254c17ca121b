"""The phases of a curriculum in steps, from a spec that gives each a share of the tokens."""

from __future__ import annotations

from typing import Any, TypeVar

from forge.errors import SpecError
from forge.plan.types import PhasePlan, SourcePlan

T = TypeVar("T")


def plan_phases(
    train: dict[str, Any], steps: int, batch_tokens: int, sources: tuple[SourcePlan, ...]
) -> tuple[PhasePlan, ...]:
    """Return the phases of a run of `steps` steps; each ends at the whole step nearest to where its tokens end.

    Args:
        train: values of group `train`.
        steps: of the run.
        batch_tokens: tokens of a step.
        sources: the data; empty where it is not at hand, and weights are then of no source.

    Raises:
        SpecError: the phases are not as long as the run, one has no step, or weights are not as many as sources.
    """
    phases: list[dict[str, Any]] = train["phases"] or []
    if not phases:
        return ()
    in_tokens = phases[0].get("tokens") is not None
    lengths = [phase["tokens"] / batch_tokens if in_tokens else phase["fraction"] * steps for phase in phases]
    if in_tokens:
        total = sum(phase["tokens"] for phase in phases)
        # Rounded up to whole steps, as the tokens of a budget are.
        if -(-total // batch_tokens) != steps:
            raise SpecError(
                f"train.phases: the phases have {total} tokens, and the run {steps * batch_tokens}: "
                "change one, or give fractions"
            )
    ends = [round(sum(lengths[: number + 1])) for number in range(len(phases) - 1)] + [steps]
    begins = [0, *ends[:-1]]
    planned = []
    for number, (phase, begin, end) in enumerate(zip(phases, begins, ends, strict=True)):
        if end <= begin:
            raise SpecError(
                f"train.phases: phase {number + 1} is less than one of the run's {steps} steps: "
                "give it more, or drop it"
            )
        weights = source_weights(
            f"train.phases: phase {number + 1}: source_weights", phase["source_weights"], sources
        )
        planned.append(PhasePlan(begin + 1, end - begin, weights or {}))
    return tuple(planned)


def stream_tokens(phases: tuple[PhasePlan, ...], sources: tuple[SourcePlan, ...], corpus_tokens: int) -> int:
    """Return the tokens of the training stream, which has a segment for each phase; sources share tokens by bytes."""
    total_bytes = sum(source.bytes for source in sources)
    if not phases or not total_bytes:
        return corpus_tokens
    weighted = sum(phase.source_weights[source.path] * source.bytes for phase in phases for source in sources)
    return round(corpus_tokens * weighted / total_bytes)


def source_weights(
    key: str, weights: list[float] | None, sources: tuple[SourcePlan, ...]
) -> dict[str, float] | None:
    """Return the weight of each source by its path; None where there are no weights or no sources.

    Raises:
        SpecError: at `key`: they are not as many.
    """
    if weights is None or not sources:
        return None
    return _by_source(key, "weights", list(map(float, weights)), sources)


def source_caps(
    key: str, caps: int | list[int | None] | None, sources: tuple[SourcePlan, ...]
) -> int | dict[str, int | None] | None:
    """Return the most bytes of every source; or of each by its path, where they were given one by one.

    Raises:
        SpecError: at `key`: they are not as many.
    """
    if not isinstance(caps, list):
        return caps
    return _by_source(key, "caps", caps, sources) if sources else None


def _by_source(key: str, what: str, values: list[T], sources: tuple[SourcePlan, ...]) -> dict[str, T]:
    if len(values) != len(sources):
        raise SpecError(
            f"{key}: {len(values)} {what} for {len(sources)} sources of data.path: give one for each"
        )
    return {source.path: value for source, value in zip(sources, values, strict=True)}
