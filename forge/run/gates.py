"""The gates of a plan, held against its evaluation before anything is exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge.evaluate.gates import broken_gates
from forge.plan.types import Plan


def lines_of_gates(plan: Plan, evaluation: Mapping[str, Any]) -> list[str]:
    """Return a line for each gate of the plan that an evaluation breaks."""
    return broken_gates(plan.spec.get("evaluate", {}).get("gates", {}), evaluation)
