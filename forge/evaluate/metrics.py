"""The figures of an evaluation by name: what gates bound and comparisons set side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge.evaluate.questions import UNKNOWN_KINDS

UNKNOWN = "unknown"
MARKED = ("exact", "abstained", "wrong")


def metrics_of(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an evaluation.json by name.

    held_out_bits_per_byte, held_out_near_copies (documents), held_out_contaminated_fraction, and recited_fraction of
    the training passages that were tried; of each kind of questions that was asked <kind>_exact_fraction,
    <kind>_abstained_fraction and <kind>_wrong_fraction; known_exact_over_retrieval, by how much the model's exact share
    is above that of retrieval; and of each standard task `task <name>`, its main figure.
    """
    found: dict[str, float] = {
        "held_out_bits_per_byte": evaluation["held_out_bits_per_byte"],
        "held_out_near_copies": evaluation["held_out_near_copies"]["documents_with_near_copy"],
    }
    shares = {
        "held_out_contaminated_fraction": evaluation["contamination"]["sets"]["held_out"][
            "contaminated_fraction"
        ],
        "recited_fraction": (evaluation["regurgitation"] or {}).get("verbatim_fraction"),
    }
    found |= {name: share for name, share in shares.items() if share is not None}
    recall = evaluation["recall"]
    if recall is not None:
        for kind, rates in recall["model"].items():
            marks = MARKED[1:] if kind in (UNKNOWN, *UNKNOWN_KINDS) else MARKED  # nothing is exact there
            found |= {f"{kind}_{mark}_fraction": rates[f"{mark}_fraction"] for mark in marks}
        if "known" in recall.get("retrieval", {}):
            own, looked_up = (recall[who]["known"]["exact_fraction"] for who in ("model", "retrieval"))
            found["known_exact_over_retrieval"] = own - looked_up
    for task, figures in evaluation["tasks"].items():
        if figures["main"] is not None:
            found[task_metric(task)] = figures[figures["main"]]
    return found


def task_metric(task: str) -> str:
    """Return the name of a standard task's main figure."""
    return f"task {task}"
