"""Two evaluations side by side: figure by figure, document by document, question by question."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.evaluate.by_document import HELD_OUT
from forge.evaluate.metrics import metrics_of
from forge.evaluate.paired import mcnemar_p, ratio_difference
from forge.evaluate.recall import MODEL, QUESTIONS, is_right


def compare_evaluations(first: Path, second: Path) -> dict[str, Any]:
    """Return what the second evaluation has better and worse than the first.

    `metrics` has the figures of both by name, of all they measured. `held_out` is about the documents that both
    measured, by a paired bootstrap; `questions` about those that both asked with the same answers, by McNemar's exact
    test: fixed (wrong in the first, right in the second), broken (the other way round) and unchanged. Either is None
    where the two have nothing in common.

    Args:
        first: folder of an evaluation, with evaluation.json.
        second: the same of the other.

    Raises:
        StageError: a folder has no whole evaluation.
    """
    one, other = (metrics_of(_read(folder / "evaluation.json")) for folder in (first, second))
    return {
        "metrics": {name: [one.get(name), other.get(name)] for name in dict.fromkeys([*one, *other])},
        "held_out": _held_out(*(_rows(folder / HELD_OUT) for folder in (first, second))),
        "questions": _questions(*(_rows(folder / QUESTIONS) for folder in (first, second))),
    }


def _held_out(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    of_second = {row["document_id"]: row for row in second}
    pairs = [
        (row, of_second[row["document_id"]])
        for row in first
        # A conversation whose answers another curation changed is another document.
        if row["bytes"] and of_second.get(row["document_id"], {}).get("bytes") == row["bytes"]
    ]
    if not pairs:
        return None
    sizes = [row["bytes"] for row, _ in pairs]
    bits = [[row["nats"] / math.log(2) for row in side] for side in zip(*pairs, strict=True)]
    found = ratio_difference(bits[0], bits[1], sizes)
    return {
        "documents": len(pairs),
        "bytes": sum(sizes),
        "bits_per_byte": [sum(some) / sum(sizes) for some in bits],
        **asdict(found),
    }


def _questions(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    of_second = {row["question"]: row for row in second}
    pairs = [
        (row, of_second[row["question"]])
        for row in first
        if row["question"] in of_second and row["answers"] == of_second[row["question"]]["answers"]
    ]
    if not pairs:
        return None
    groups: dict[tuple[bool, bool], list[dict[str, Any]]] = {
        (before, after): [] for before in (False, True) for after in (False, True)
    }
    for one, other in pairs:
        groups[is_right(one, MODEL), is_right(other, MODEL)].append(
            {
                "question": one["question"],
                "kind": other["kind"],
                "answers": one["answers"],
                "replies": [row["replies"][MODEL]["reply"] for row in (one, other)],
            }
        )
    fixed, broken = groups[False, True], groups[True, False]
    return {
        "questions": len(pairs),
        "fixed": fixed,
        "broken": broken,
        "unchanged_right": len(groups[True, True]),
        "unchanged_wrong": len(groups[False, False]),
        "p_value": mcnemar_p(len(broken), len(fixed)),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not JSON"
        raise StageError(f"{path}: cannot be read ({reason}): evaluate that run again") from None
    return content


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file; none where it is not there: nothing was asked."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
