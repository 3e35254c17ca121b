"""Gates: bounds that an evaluation has to keep, or nothing of the run is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge.evaluate.metrics import metrics_of, task_metric

LEAST, MOST = "min_", "max_"
TASKS = "min_task_scores"
"""The gate with a bound for each task."""


def broken_gates(gates: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Return a line for each gate that an evaluation does not keep; a figure that was not measured keeps none.

    Args:
        gates: bounds by `min_` or `max_` and the name of a figure of `metrics_of`, and TASKS; None bounds nothing.
        evaluation: the content of evaluation.json.
    """
    bounds = {
        name: (name.removeprefix(LEAST).removeprefix(MOST), bound)
        for name, bound in gates.items()
        if bound is not None and name != TASKS
    }
    bounds |= {f"{TASKS}.{task}": (task_metric(task), bound) for task, bound in gates.get(TASKS, {}).items()}
    if not bounds:
        return []
    measured = metrics_of(evaluation)
    lines = []
    for name, (metric, bound) in bounds.items():
        figure = measured.get(metric)
        if figure is None:
            lines.append(f"evaluate.gates.{name}: was not measured: ask for what it bounds, or drop the gate")
        elif name.startswith(LEAST) and figure < bound:
            lines.append(f"evaluate.gates.{name}: {figure:.4g} is below {bound:g}: {_REMEDY}")
        elif name.startswith(MOST) and figure > bound:
            lines.append(f"evaluate.gates.{name}: {figure:.4g} is above {bound:g}: {_REMEDY}")
    return lines


_REMEDY = "nothing is exported: train better, or move the gate"
