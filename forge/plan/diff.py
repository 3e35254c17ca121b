"""Two plans compared by meaning: what was asked differently, what was decided differently, what that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from forge.plan.types import MemoryItem, Plan, SourcePlan

EFFECTS = (
    # name, unit, how to take it from the estimates
    ("peak memory", "bytes", lambda estimates: estimates.peak_memory_bytes),
    ("host memory", "bytes", lambda estimates: _sum(estimates.host_memory)),
    ("disk", "bytes", lambda estimates: _sum(estimates.disk)),
    ("throughput", "tokens/s", lambda estimates: estimates.tokens_per_second),
    ("wall-clock time", "s", lambda estimates: estimates.wall_clock_s),
    ("GPU-hours", "h", lambda estimates: estimates.gpu_hours),
    ("cost", "USD", lambda estimates: estimates.cost_usd),
    ("energy", "kWh", lambda estimates: estimates.energy_kwh),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs."""

    key: str
    """Dotted, as in the spec (`train.learning_rate`) or the plan (`layout.zero_stage`)."""
    before: Any
    """None where there was none."""
    after: Any


@dataclass(frozen=True, slots=True)
class Effect:
    """What the changes do to one estimate."""

    name: str
    unit: str
    before: float | None
    """None where the plan does not know it (a price, a power)."""
    after: float | None

    @property
    def ratio(self) -> float | None:
        """`after` over `before`; None where either is unknown or 0."""
        return self.after / self.before if self.before and self.after is not None else None


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """How plan B differs from plan A."""

    asked: tuple[Change, ...]
    """In the spec, the documents and the weights to start from."""
    decided: tuple[Change, ...]
    """In model, layout, schedule and DeepSpeed config: what the compiler made of it."""
    effects: tuple[Effect, ...]
    """Estimates that differ."""
    stages: tuple[str, ...]
    """Stages whose artifacts the two do not share."""

    @property
    def empty(self) -> bool:
        """True where the plans mean the same."""
        return not (self.asked or self.decided or self.effects or self.stages)


def diff_plans(before: Plan, after: Plan) -> PlanDiff:
    """Return what differs between two plans, in the order of the spec and of the plan."""
    asked = [*_changes(before.spec, after.spec), *_changes(_sources(before), _sources(after))]
    if before.forge_version != after.forge_version:
        asked.append(Change("forge", before.forge_version, after.forge_version))
    decided = _changes(_decisions(before), _decisions(after))
    effects = (
        Effect(name, unit, take(before.estimates), take(after.estimates)) for name, unit, take in EFFECTS
    )
    keys = {stage.name: stage.key for stage in before.stages}
    return PlanDiff(
        asked=tuple(asked),
        decided=tuple(decided),
        effects=tuple(effect for effect in effects if effect.before != effect.after),
        stages=tuple(stage.name for stage in after.stages if keys.get(stage.name) != stage.key),
    )


def diff_specs(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    """Return what is asked differently in two specs, whether or not a plan fits what they ask for."""
    return tuple(_changes(before, after))


def _sum(items: tuple[MemoryItem, ...]) -> int:
    return sum(item.bytes for item in items)


def _sources(plan: Plan) -> dict[str, Any]:
    return {
        "documents": {source.path: _described(source) for source in plan.sources},
        "weights": {source.path: _described(source) for source in plan.initial_weights},
    }


def _described(source: SourcePlan) -> str:
    files = "1 file" if source.files == 1 else f"{source.files:,} files"
    return f"{files}, {source.bytes:,} bytes, {source.sha256[:12]}"


def _decisions(plan: Plan) -> dict[str, Any]:
    return {
        "model": asdict(plan.model),
        "layout": asdict(plan.layout),
        "schedule": asdict(plan.schedule),
        "deepspeed": plan.deepspeed,
    }


def _changes(before: Any, after: Any, key: str = "") -> Iterator[Change]:
    """Yield the leaves that differ; a mapping on one side alone is one change a leaf."""
    if isinstance(before, dict) or isinstance(after, dict):
        left = before if isinstance(before, dict) else {}
        right = after if isinstance(after, dict) else {}
        for name in dict.fromkeys((*left, *right)):
            yield from _changes(left.get(name), right.get(name), f"{key}.{name}" if key else name)
    elif before != after:
        yield Change(key, before, after)
