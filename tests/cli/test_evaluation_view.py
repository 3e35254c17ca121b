from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from forge.cli.evaluation_view import show_evaluation
from forge.evaluate.recall import against, rates_by_kind

ROWS = [
    {
        "kind": kind,
        "answers": answers,
        "replies": {
            "model": {"mark": model},
            "retrieval": {"mark": retrieval},
        },
    }
    for kind, answers, model, retrieval, count in (
        ("document", ["x"], "wrong", "exact", 9),
        ("document", ["x"], "exact", "exact", 3),
        ("unknown_near", [], "abstained", "wrong", 2),
        ("unknown_far", [], "wrong", "wrong", 2),
    )
    for _ in range(count)
]
EVALUATION: dict[str, Any] = {
    "held_out_bits_per_byte": 1.25,
    "held_out_documents": 3,
    "held_out_bytes": 2048,
    "held_out_loss_nats_per_token": 2.0,
    "held_out_perplexity": 7.4,
    "held_out_by_source": {
        "mail": {"documents": 1, "bytes": 1024, "bits_per_byte": 1.0},
        "docs[1]": {"documents": 2, "bytes": 1024, "bits_per_byte": 1.5},
    },
    "held_out_near_copies": {"documents_with_near_copy": 2, "highest_jaccard": 0.875},
    "baselines": {
        "xz_preset": "9e",
        "xz_with_training_text_bits_per_byte": None,
        "xz_bits_per_byte": 2.5,
        "unigram_bits_per_byte": 3.5,
    },
    "recall": None,
    "tasks": {},
}
RECALL: dict[str, Any] = {
    "model": rates_by_kind(ROWS, "model"),
    "retrieval": rates_by_kind(ROWS, "retrieval"),
    "contrast": None,
    "against": {"retrieval": against(ROWS, "retrieval")},
    "retrieval_not_measured": None,
}


def shown(evaluation: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    show_evaluation(Console(file=stream, width=80, highlight=False), evaluation)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_without_questions_there_is_no_table_of_them() -> None:
    lines = shown(EVALUATION)
    first = lines.index("this model 1.250")
    assert lines[first : first + 3] == ["this model 1.250", "on mail 1.000", "on docs[1] 1.500"]
    assert "near copies of them in the training text: 2 (closest: Jaccard 0.88)" in lines
    assert not any("questions:" in line for line in lines)


def test_where_retrieval_wins_is_said_plainly() -> None:
    lines = shown(EVALUATION | {"recall": RECALL})
    table = "\n".join(lines)
    assert max(map(len, lines[:-6])) < 80
    assert "stated, not asked this model 12 25% 9-53 0% 0-24 75% 47-91" in lines
    assert "retrieval 12 100% 76-100 0% 0-24 0% 0-24" in lines
    assert (
        "retrieval wins on answers: 9 right that the model has wrong, 0 the other way round, p = 0.0039"
        in table
    )
    assert "do not train for recall" in table
    assert (
        "the model beats retrieval on admitted gaps: 0 right that the model has wrong, "
        "2 the other way round, p = 0.5, may be chance"
    ) in table


def test_what_was_not_measured_is_said() -> None:
    recall: dict[str, Any] = {"model": RECALL["model"]}
    recall |= {"contrast": None, "against": {}, "retrieval_not_measured": "too big"}
    assert "retrieval was not measured: too big" in shown(EVALUATION | {"recall": recall})


def test_standard_tasks_are_in_the_same_place() -> None:
    tasks = {
        "quiz[a]": {"main": "acc", "acc": 0.5, "acc_stderr": 0.05, "samples": 100},
        "odd": {"main": None},
    }
    lines = shown(EVALUATION | {"tasks": tasks})
    assert "quiz[a] acc 0.500 0.050 100" in lines
    assert not any(line.startswith("odd") for line in lines)
