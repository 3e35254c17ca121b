"""Closed-book recall: what is known without anything to read, and whether what is not known is admitted.

questions.jsonl has a line for each question: what was asked, what is right, and of each that was asked its reply and
its mark. `evaluation.json` has the rates: `recall.<who>.<kind>`, kinds as in `forge.evaluate.questions` and two over
several of them, `known` (questions with an answer) and `unknown` (those whose right reply is to abstain);
`recall.against.<who>.<kind>` tells the model from who else was asked, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge.evaluate.intervals import wilson_95
from forge.evaluate.marking import mark
from forge.evaluate.paired import mcnemar_p
from forge.evaluate.questions import KINDS, Question
from forge.files import replace_text
from forge.progress import Progress

if TYPE_CHECKING:
    from forge.evaluate.asking import TrainedModel

QUESTIONS = "questions.jsonl"
MODEL = "model"
"""Who is asked first: the trained model."""
MARKS = ("exact", "abstained", "wrong")
KNOWN, UNKNOWN = "known", "unknown"


def measure_recall(
    questions: Sequence[Question],
    model: TrainedModel,
    others: Mapping[str, list[str]],
    parameters: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Ask the model every question; write `out`/questions.jsonl and return the rates, those of `others` beside its own.

    Args:
        questions: to be asked.
        model: the trained one.
        others: the replies of who else was asked, by name.
        parameters: the evaluate stage's: abstentions, seed.
        out: a folder.
        progress: told of questions.
    """
    # Heavy, and who only compares marks needs none of it.
    from forge.evaluate.asking import ask_model, contrast

    replies = {MODEL: ask_model(model, questions, progress), **others}
    contrasts = contrast(model, questions, parameters["seed"], progress)
    rows = [
        {
            "question": question.text,
            "kind": question.kind,
            "source": question.source,
            "answers": list(question.answers),
            "replies": {
                name: {
                    "reply": some[place],
                    "mark": mark(some[place], question.answers, parameters["abstentions"], question.others),
                }
                for name, some in replies.items()
            },
            "true_value_likeliest": contrasts[place],
        }
        for place, question in enumerate(questions)
    ]
    replace_text(out / QUESTIONS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    found: dict[str, Any] = {name: rates_by_kind(rows, name) for name in replies}
    found["contrast"] = _contrast_rate(contrasts)
    found["against"] = {name: against(rows, name) for name in others}
    return found


def rates_by_kind(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, dict[str, Any]]:
    """Return the rates of one who was asked, by kind of question; kinds that nobody asked about are left out."""
    groups: dict[str, list[str]] = {kind: [] for kind in (*KINDS, KNOWN, UNKNOWN)}
    for row in rows:
        given = row["replies"][who]["mark"]
        groups[row["kind"]].append(given)
        groups[KNOWN if row["answers"] else UNKNOWN].append(given)
    return {kind: rates(marks) for kind, marks in groups.items() if marks}


def rates(marks: Sequence[str]) -> dict[str, Any]:
    """Return how many there are, and of each mark the count, the share and its 95 % interval."""
    found: dict[str, Any] = {"questions": len(marks)}
    for name in MARKS:
        count = marks.count(name)
        found |= {
            name: count,
            f"{name}_fraction": count / len(marks),
            f"{name}_interval_95": list(wilson_95(count, len(marks))),
        }
    return found


def is_right(row: Mapping[str, Any], who: str) -> bool:
    """Return whether a reply in a row of questions.jsonl is right: exact, or of an unknown name that it abstains."""
    return bool(row["replies"][who]["mark"] == ("exact" if row["answers"] else "abstained"))


def against(rows: Sequence[Mapping[str, Any]], who: str) -> dict[str, dict[str, Any]]:
    """Return by kind of question how many only the model has right, how many only `who`, and McNemar's p-value."""
    pairs: dict[str, list[tuple[bool, bool]]] = {kind: [] for kind in (*KINDS, KNOWN, UNKNOWN)}
    for row in rows:
        pair = is_right(row, MODEL), is_right(row, who)
        pairs[row["kind"]].append(pair)
        pairs[KNOWN if row["answers"] else UNKNOWN].append(pair)
    found = {}
    for kind, some in pairs.items():
        if some:
            only_model, only_other = some.count((True, False)), some.count((False, True))
            found[kind] = {
                "questions": len(some),
                "only_model_right": only_model,
                "only_other_right": only_other,
                "p_value": mcnemar_p(only_model, only_other),
            }
    return found


def _contrast_rate(contrasts: Sequence[bool | None]) -> dict[str, Any] | None:
    told = [one for one in contrasts if one is not None]
    if not told:
        return None
    first = sum(told)
    return {
        "questions": len(told),
        "true_value_likeliest": first,
        "true_value_likeliest_fraction": first / len(told),
        "true_value_likeliest_interval_95": list(wilson_95(first, len(told))),
    }
