from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge.errors import StageError
from forge.evaluate.compare import compare_evaluations
from forge.evaluate.recall import rates_by_kind


def question(place: int, mark: str, answers: list[str] | None = None) -> dict[str, Any]:
    return {
        "question": f"q{place}",
        "kind": "document",
        "answers": ["x"] if answers is None else answers,
        "replies": {"model": {"reply": mark, "mark": mark}},
    }


def write(
    folder: Path, bits: dict[str, tuple[int, float]], questions: list[dict[str, Any]] | None = None
) -> Path:
    folder.mkdir()
    rows: list[dict[str, Any]] = [
        {"document_id": name, "source": "docs", "bytes": size, "nats": size * each * 0.6931471805599453}
        for name, (size, each) in bits.items()
    ]
    (folder / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if questions is not None:
        (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    size = sum(row["bytes"] for row in rows)
    evaluation = {
        "held_out_bits_per_byte": sum(row["nats"] for row in rows) / 0.6931471805599453 / max(size, 1),
        "held_out_near_copies": {"documents_with_near_copy": 0},
        "contamination": {"sets": {"held_out": {"contaminated_fraction": None}}},
        "regurgitation": None,
        "tasks": {},
        "recall": None if questions is None else {"model": rates_by_kind(questions, "model")},
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def test_questions_are_fixed_broken_or_unchanged(tmp_path: Path) -> None:
    before = ["wrong"] * 6 + ["exact"] * 3 + ["abstained"]
    after = ["exact"] * 5 + ["wrong"] + ["exact"] * 2 + ["abstained"] + ["wrong"]
    gap = question(90, "wrong", []), question(90, "abstained", [])
    one = [question(place, mark) for place, mark in enumerate(before)] + [gap[0], question(50, "exact")]
    other = [question(place, mark) for place, mark in enumerate(after)] + [gap[1], question(51, "exact")]
    found = compare_evaluations(write(tmp_path / "a", {}, one), write(tmp_path / "b", {}, other))["questions"]
    assert [row["question"] for row in found["fixed"]] == ["q0", "q1", "q2", "q3", "q4", "q90"]
    assert [row["question"] for row in found["broken"]] == ["q8"]
    assert (found["questions"], found["unchanged_right"], found["unchanged_wrong"]) == (11, 2, 2)
    assert found["broken"][0]["replies"] == ["exact", "abstained"]
    assert found["p_value"] == pytest.approx(2 * (1 + 7) / 2**7)


def test_a_question_with_another_answer_is_another_question(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {}, [question(1, "exact")])
    other = write(tmp_path / "b", {}, [question(1, "exact", ["y"])])
    assert compare_evaluations(one, other)["questions"] is None


def test_documents_are_compared_one_by_one(tmp_path: Path) -> None:
    first = {f"d{place}": (100 + place, 2.0 + place / 50) for place in range(40)}
    second = {name: (size, each - 0.1) for name, (size, each) in first.items()}
    one = write(tmp_path / "a", first | {"only one": (9, 1.0), "changed": (9, 1.0), "empty": (0, 0.0)})
    other = write(tmp_path / "b", second | {"changed": (8, 1.0), "empty": (0, 0.0)})
    found = compare_evaluations(one, other)
    held_out = found["held_out"]
    assert held_out["documents"] == 40
    assert held_out["difference"] == pytest.approx(-0.1)
    assert held_out["bits_per_byte"][1] - held_out["bits_per_byte"][0] == pytest.approx(-0.1)
    assert held_out["high_95"] < 0
    assert held_out["p_value"] < 0.001
    assert found["questions"] is None
    assert set(found["metrics"]) == {"held_out_bits_per_byte", "held_out_near_copies"}
    assert compare_evaluations(other, write(tmp_path / "c", {"z": (5, 1.0)}))["held_out"] is None


def test_what_only_one_measured_is_shown_as_such(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {"d": (5, 1.0)})
    other = write(tmp_path / "b", {"d": (5, 1.0)}, [question(1, "exact")])
    metrics = compare_evaluations(one, other)["metrics"]
    assert metrics["known_exact_fraction"] == [None, 1.0]
    assert metrics["held_out_bits_per_byte"] == [pytest.approx(1.0)] * 2


def test_no_evaluation_is_one_line(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {"d": (5, 1.0)})
    with pytest.raises(StageError, match=r"evaluation\.json: cannot be read \(No such file or directory\)"):
        compare_evaluations(one, tmp_path)
