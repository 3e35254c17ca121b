"""Gates: bounds that an evaluation has to keep, or nothing of the run is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge.evaluate.metrics import metrics_of

LEAST, MOST = "min_", "max_"


def broken_gates(gates: Mapping[str, Any], evaluation: Mapping[str, Any]) -> list[str]:
    """Return a line for each gate that an evaluation does not keep; a figure that was not measured keeps none.

    Args:
        gates: bounds by `min_` or `max_` and the name of a figure of `metrics_of`; None bounds nothing.
        evaluation: the content of evaluation.json.
    """
    set_gates = {name: bound for name, bound in gates.items() if bound is not None}
    if not set_gates:
        return []
    measured = metrics_of(evaluation)
    lines = []
    for name, bound in set_gates.items():
        figure = measured.get(name.removeprefix(LEAST).removeprefix(MOST))
        if figure is None:
            lines.append(
                f"evaluate.gates.{name}: was not measured: ask questions that show it, or drop the gate"
            )
        elif name.startswith(LEAST) and figure < bound:
            lines.append(f"evaluate.gates.{name}: {figure:.4g} is below {bound:g}: {_REMEDY}")
        elif name.startswith(MOST) and figure > bound:
            lines.append(f"evaluate.gates.{name}: {figure:.4g} is above {bound:g}: {_REMEDY}")
    return lines


_REMEDY = "nothing is exported: train better, or move the gate"
