"""What a model was taught it is found to know, and what it was not it is found not to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.errors import StageError
from forge.evaluate import opponents
from forge.evaluate.preflight import check_evaluation
from tests.evaluate.taught import (
    ABSTENTION,
    STRANGER,
    SUBJECTS,
    asked,
    evaluate_taught,
    write_facts,
    write_questions,
    write_taught,
)
from tests.export.artifacts import planned


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("taught")
    write_taught(folder)
    return folder


Evaluate = Callable[..., tuple[dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture
def evaluate(taught: Path, tmp_path: Path) -> Evaluate:
    def run(**parameters: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        asks = {
            "questions": str(write_questions(tmp_path / "questions.jsonl")),
            "facts": str(write_facts(tmp_path / "facts.csv")),
            "unknown_questions": 3,
            "answer_tokens": 16,
        }
        result = evaluate_taught(taught, tmp_path, **asks | parameters)
        lines = (tmp_path / "questions.jsonl").read_text().splitlines()
        return result, [json.loads(line) for line in lines]

    return run


def test_what_was_taught_is_known(evaluate: Evaluate, tmp_path: Path) -> None:
    result, rows = evaluate()
    marks = {row["question"]: row["replies"]["model"]["mark"] for row in rows}
    replies = {row["question"]: row["replies"]["model"]["reply"] for row in rows}
    assert [marks[asked(subject)] for subject in SUBJECTS] == ["exact"] * 4
    assert (replies[asked(STRANGER)], marks[asked(STRANGER)]) == (ABSTENTION, "abstained")
    kinds = {row["question"]: row["kind"] for row in rows}
    assert kinds[asked(SUBJECTS[0])] == "seen"
    assert [kinds[asked(subject)] for subject in SUBJECTS[1:]] == ["document"] * 3
    assert kinds[asked("Pavo 8")] == "untaught"
    assert marks[asked("Pavo 8")] != "exact"

    rates = result["recall"]["model"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["recall"] == result["recall"]
    assert {kind: rate["questions"] for kind, rate in rates.items()} == {
        "seen": 1,
        "document": 3,
        "untaught": 1,
        "unknown_near": 4,
        "unknown_far": 3,
        "other": 1,
        "known": 6,
        "unknown": 7,
    }
    assert rates["seen"]["exact_fraction"] == 1
    assert rates["document"]["exact"] == 3
    assert rates["document"]["exact_interval_95"][0] == pytest.approx(0.4385, abs=1e-4)
    assert rates["unknown"]["exact"] == 0
    for rate in rates.values():
        assert rate["exact"] + rate["abstained"] + rate["wrong"] == rate["questions"]


def test_what_is_stored_is_told_apart_by_its_likelihood(evaluate: Evaluate) -> None:
    result, rows = evaluate()
    assert [row["true_value_likeliest"] for row in rows if row["kind"] in ("seen", "document")] == [True] * 4
    assert all(row["true_value_likeliest"] is None for row in rows if not row["answers"])
    assert result["recall"]["contrast"]["questions"] == 5


def test_retrieval_is_asked_the_same(evaluate: Evaluate) -> None:
    result, rows = evaluate()
    recall = result["recall"]
    assert recall["retrieval"]["document"]["exact"] == 3
    assert recall["retrieval"]["unknown_near"]["abstained"] == 4
    assert recall["retrieval"]["untaught"]["exact"] == 0
    ahead = recall["against"]["retrieval"]["unknown"]
    wrong = sum(row["replies"]["model"]["mark"] == "wrong" for row in rows if not row["answers"])
    assert (ahead["only_model_right"], ahead["only_other_right"]) == (0, wrong)
    assert 0 < ahead["p_value"] <= 1
    assert recall["retrieval_not_measured"] is None
    assert "retrieval" not in evaluate(retrieval=False)[0]["recall"]


def test_too_much_text_for_an_index_is_said(evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opponents, "MOST_BYTES", 100)
    recall = evaluate()[0]["recall"]
    assert "retrieval" not in recall
    assert recall["retrieval_not_measured"].endswith("its index is made of 100 at most")


def test_a_general_model_reads_what_retrieval_finds(evaluate: Evaluate, tmp_path: Path, taught: Path) -> None:
    rival = tmp_path / "rival"
    shutil.copytree(taught / "train", rival)
    shutil.copytree(taught / "tokenizer", rival, dirs_exist_ok=True)
    _, rows = evaluate(rival_folder=str(rival), questions=None, unknown_questions=1)
    assert {*rows[0]["replies"]} == {"model", "retrieval", "rival", "rival_reading"}


def test_another_template_is_another_question(evaluate: Evaluate) -> None:
    rows = evaluate(question_template="{question}")[1]
    assert any(row["replies"]["model"]["mark"] != "exact" for row in rows if row["kind"] == "document")


def test_without_questions_none_is_asked(taught: Path, tmp_path: Path) -> None:
    result = evaluate_taught(taught, tmp_path)
    assert result["recall"] is None
    assert not (tmp_path / "questions.jsonl").exists()


def test_a_file_that_cannot_be_used_is_said_before_a_training(tmp_path: Path) -> None:
    parameters = planned().stage("evaluate").parameters
    check_evaluation(parameters)
    with pytest.raises(StageError, match=r"^evaluate\.questions: .*none\.jsonl: cannot be read"):
        check_evaluation(parameters | {"questions": str(tmp_path / "none.jsonl")})
    with pytest.raises(StageError, match=r"^evaluate\.rival_folder: .*: has no config\.json"):
        check_evaluation(parameters | {"rival_folder": str(tmp_path)})
    (tmp_path / "facts.csv").write_text("subject,value\n")
    with pytest.raises(StageError, match=r"^evaluate\.facts: .*facts\.csv:1: has no column attribute"):
        check_evaluation(parameters | {"facts": str(tmp_path / "facts.csv")})
