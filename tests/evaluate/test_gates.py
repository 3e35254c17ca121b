from __future__ import annotations

from typing import Any

import pytest

from forge.evaluate.gates import broken_gates
from forge.evaluate.recall import rates
from forge.spec.schema import load_schema_file

EVALUATION: dict[str, Any] = {
    "tasks": {"quiz": {"main": "acc", "acc": 0.5}, "odd": {"main": None}},
    "held_out_bits_per_byte": 1.5,
    "held_out_near_copies": {"documents_with_near_copy": 2},
    "contamination": {"sets": {"held_out": {"contaminated_fraction": 0.5}}},
    "regurgitation": {"verbatim_fraction": 0.125},
    "recall": {
        "model": {
            kind: rates(["exact", "exact", "wrong", "abstained"])
            for kind in ("known", "unknown", "seen", "document", "other", "unknown_near", "unknown_far")
        },
        "retrieval": {"known": rates(["exact", "wrong"])},
    },
}
MEASURED = {
    "max_held_out_bits_per_byte": 1.5,
    "max_held_out_near_copies": 2,
    "max_held_out_contaminated_fraction": 0.5,
    "max_recited_fraction": 0.125,
    "min_known_exact_fraction": 0.5,
    "max_known_wrong_fraction": 0.25,
    "min_seen_exact_fraction": 0.5,
    "min_document_exact_fraction": 0.5,
    "min_other_exact_fraction": 0.5,
    "max_unknown_wrong_fraction": 0.25,
    "max_unknown_near_wrong_fraction": 0.25,
    "max_unknown_far_wrong_fraction": 0.25,
    "min_known_exact_over_retrieval": 0.0,
}


def test_every_gate_of_the_schema_is_measured() -> None:
    gates = load_schema_file("evaluate")["properties"]["gates"]["properties"]
    assert {*MEASURED, "min_task_scores"} == set(gates)
    assert broken_gates(dict.fromkeys(MEASURED), EVALUATION) == []


@pytest.mark.parametrize(("name", "figure"), MEASURED.items(), ids=MEASURED)
def test_a_gate_holds_up_to_its_bound(name: str, figure: float) -> None:
    worse = -0.01 if name.startswith("max_") else 0.01
    assert broken_gates({name: figure}, EVALUATION) == []
    assert broken_gates({name: figure - worse}, EVALUATION) == []
    (line,) = broken_gates({name: figure + worse}, EVALUATION)
    assert line.startswith(f"evaluate.gates.{name}: {figure:g} is ")


def test_what_was_not_measured_keeps_no_gate() -> None:
    lines = broken_gates(MEASURED, EVALUATION | {"recall": None})
    assert len(lines) == len(MEASURED) - 4
    assert all("was not measured" in line for line in lines)


def test_nothing_recited_because_nothing_was_tried_keeps_no_gate() -> None:
    (line,) = broken_gates({"max_recited_fraction": 0.5}, EVALUATION | {"regurgitation": None})
    assert "was not measured" in line


def test_a_task_has_a_gate_of_its_own() -> None:
    assert broken_gates({"min_task_scores": {"quiz": 0.5}}, EVALUATION) == []
    lines = broken_gates({"min_task_scores": {"quiz": 0.51, "odd": 0, "none": 0.1}}, EVALUATION)
    assert [line.split(": ")[0] for line in lines] == [
        f"evaluate.gates.min_task_scores.{task}" for task in ("quiz", "odd", "none")
    ]
    assert "0.5 is below 0.51" in lines[0]
