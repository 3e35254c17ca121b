"""What a plan may say that forge's engine does not carry out yet."""

from __future__ import annotations

from collections.abc import Iterator

from forge.errors import SpecError
from forge.plan.types import LayoutPlan


def not_carried_out(layout: LayoutPlan) -> list[str]:
    """Return what the engine can't do of a layout, one line each: `KEY: why: what to do`."""
    return [f"{key}: {line}" for key, line in _limits(layout)]


def check_carried_out(layout: LayoutPlan) -> None:
    """Refuse to run what can only be planned.

    Raises:
        SpecError: with a line for each.
    """
    if lines := not_carried_out(layout):
        raise SpecError(*lines)


def _limits(layout: LayoutPlan) -> Iterator[tuple[str, str]]:
    planned = "can be planned and not yet run"
    if layout.sequence_parallel_degree > 1 and layout.attention != "sdpa":
        yield (
            "engine.attention",
            f"sequences over {layout.sequence_parallel_degree} devices with {layout.attention} attention {planned}: to "
            "run it use engine.attention=sdpa",
        )
