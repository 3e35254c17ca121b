from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from forge.cli.evaluation_view import show_evaluation
from forge.evaluate.intervals import wilson_95
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
    "contamination": {
        "run_words": 13,
        "action": "report",
        "sets": {"held_out": {"texts": 3, "texts_contaminated": 0}},
    },
    "regurgitation": None,
    "tasks": {},
}
PASSAGES = {"prefix_tokens": 32, "continued_tokens": 50, "by_times_read": [], "by_near_copies": []}
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


def recited(passages: int, verbatim: int, **bucket: float) -> dict[str, Any]:
    return bucket | {
        "passages": passages,
        "verbatim_fraction": verbatim / passages if passages else None,
        "verbatim_interval_95": list(wilson_95(verbatim, passages)),
    }


def test_what_the_training_text_has_of_the_evaluation() -> None:
    assert "in the training text by a run of 13 words: nothing of the evaluation" in shown(EVALUATION)
    found = {
        "run_words": 13,
        "action": "drop",
        "sets": {
            "held_out": {"texts": 3, "texts_contaminated": 1},
            "other": {"texts": 9, "texts_contaminated": 4},
            "unknown_far": {"texts": 5, "texts_contaminated": 0},
        },
    }
    assert (
        "in the training text by a run of 13 words: 1 of 3 held-out documents, 4 of 9 questions (your questions), "
        "left out above"
    ) in " ".join(shown(EVALUATION | {"contamination": found}))


def test_what_is_recited_is_shown_by_how_often_it_was_read() -> None:
    families = {"by_near_copies": [recited(40, 8, **{"from": 1, "below": 2})]}
    several = {"by_near_copies": [*families["by_near_copies"], recited(5, 5, **{"from": 4, "below": 8})]}
    read = [recited(30, 3, **{"from": 0.5, "below": 1}), recited(10, 5, **{"from": 8, "below": 16})]
    both = PASSAGES | families | {"by_times_read": read} | recited(40, 8)
    assert shown(EVALUATION | {"regurgitation": both})[-4:-1] == [
        "of 40 training passages, given 32 tokens, recited word for word for 50: 20% 10-35",
        "read 0.5 to 1 times: 10% 3-26 of 30",
        "read 8 to 16 times: 50% 24-76 of 10",
    ]
    lines = shown(EVALUATION | {"regurgitation": both | several})
    assert "without a near copy: 20% 10-35 of 40" in lines
    assert "in families of 4 to 7 documents: 100% 57-100 of 5" in lines
    nothing = both | several | recited(40, 0)
    assert not any("families" in line for line in shown(EVALUATION | {"regurgitation": nothing}))
    none = PASSAGES | recited(0, 0)
    assert "documents are too short to try" in shown(EVALUATION | {"regurgitation": none})[-2]


def test_standard_tasks_are_in_the_same_place() -> None:
    tasks = {
        "quiz[a]": {"main": "acc", "acc": 0.5, "acc_stderr": 0.05, "samples": 100},
        "odd": {"main": None},
    }
    lines = shown(EVALUATION | {"tasks": tasks})
    assert "quiz[a] acc 0.500 0.050 100" in lines
    assert not any(line.startswith("odd") for line in lines)
