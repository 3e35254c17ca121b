from __future__ import annotations

from dataclasses import replace

import pytest

from forge.plan import stages
from forge.plan.diff import diff_plans
from forge.plan.drift import plan_drift
from forge.plan.machine import Machine
from forge.plan.stages import room_hash
from forge.plan.types import SourcePlan
from tests.plan.specs import LAPTOP, compiled

BASE = ("+recipe=legal_tiny", "hardware=local")
SOURCE = SourcePlan("/my/folder", 3, 3_000_000, "0" * 64)


def test_nothing_changed_is_no_drift() -> None:
    assert plan_drift(compiled(*BASE, sources=(SOURCE,)), compiled(*BASE, sources=(SOURCE,))) == []


def test_another_version_of_forge_is_drift() -> None:
    plan = compiled(*BASE)
    lines = plan_drift(replace(plan, forge_version="0.0.9"), plan)
    assert lines == [f"code: forge 0.0.9 when the plan was made, {plan.forge_version} now"]


def test_changed_code_names_the_stages_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = compiled(*BASE)
    monkeypatch.setattr(stages, "room_hash", lambda room: "new" if room == "evaluate" else room_hash(room))
    assert plan_drift(plan, compiled(*BASE)) == [
        "code: what makes evaluate is not what it was when the plan was made"
    ]


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (
            (SourcePlan("/my/folder", 4, 3_000_000, "1" * 64),),
            "documents: /my/folder: 3 files of 3,000,000 bytes (000000000000) when the plan was made, "
            "4 files of 3,000,000 bytes (111111111111) now",
        ),
        (
            (),
            "documents: /my/folder: 3 files of 3,000,000 bytes (000000000000) when the plan was made, not at hand now",
        ),
    ],
)
def test_changed_documents_are_drift(now: tuple[SourcePlan, ...], line: str) -> None:
    assert plan_drift(compiled(*BASE, sources=(SOURCE,)), compiled(*BASE, sources=now)) == [line]


def test_changed_weights_are_drift_and_a_difference() -> None:
    plan = replace(compiled(*BASE), initial_weights=(SOURCE,))
    now = replace(plan, initial_weights=(replace(SOURCE, sha256="1" * 64),))
    assert plan_drift(plan, now) == [
        "weights: /my/folder: 3 files of 3,000,000 bytes (000000000000) when the plan was made, "
        "3 files of 3,000,000 bytes (111111111111) now"
    ]
    (change,) = diff_plans(plan, now).asked
    assert (change.key, change.after) == ("weights./my/folder", "3 files, 3,000,000 bytes, 111111111111")


def test_another_machine_is_drift() -> None:
    h100 = Machine(64, 512 * 1024**3, True, ("NVIDIA H100 80GB HBM3",), 80 * 1024**3)
    lines = plan_drift(compiled(*BASE), compiled(*BASE, machine=h100))
    assert "hardware: device cpu when the plan was made, cuda now" in lines
    assert "hardware: gpu none when the plan was made, h100-sxm-80gb now" in lines


def test_less_memory_is_drift() -> None:
    less = replace(LAPTOP, memory_bytes=LAPTOP.memory_bytes // 2)
    (line,) = plan_drift(compiled(*BASE), compiled(*BASE, machine=less))
    assert line.startswith("hardware: ")
    assert "bytes of device memory" in line
