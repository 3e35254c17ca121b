from __future__ import annotations

import json
from pathlib import Path

import pytest

from forge.plan.types import load_plan
from forge.spec.schema import validator
from tests.cli.test_main import forge

LARGE = ("+recipe=legal_7b", "hardware=8xh100")


def test_a_plan_is_shown_on_one_screen_and_written(tmp_path: Path) -> None:
    shown = forge("plan", *LARGE, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) <= 48
    assert max(map(len, lines)) <= 100
    for expected in (
        "legal_7b",
        "6.74B parameters",
        "ZeRO-",
        "GPU-hours",
        "does not fit: ",
        "optimizer states",
        "lake → corpus",
    ):
        assert expected in shown.stdout
    plan = load_plan(tmp_path / "plan.json")
    validator("plan").validate(json.loads((tmp_path / "plan.json").read_text()))
    assert plan.layout.world_size == 8
    assert plan.id in shown.stdout


def test_the_same_plan_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = (forge("plan", *LARGE, "--json", cwd=tmp_path) for _ in range(2))
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["format"] == 1
    assert list(tmp_path.iterdir()) == []


def test_a_plan_replaces_a_plan_and_nothing_else(tmp_path: Path) -> None:
    forge("plan", "hardware=cpu", cwd=tmp_path)
    assert forge("plan", *LARGE, cwd=tmp_path).returncode == 0
    assert load_plan(tmp_path / "plan.json").name == "legal_7b"
    (tmp_path / "plan.json").write_text("mine")
    refused = forge("plan", *LARGE, cwd=tmp_path)
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        2,
        "plan.json: is there and is not a plan: name another file with --output",
    )
    assert (tmp_path / "plan.json").read_text() == "mine"
    assert forge("plan", *LARGE, "-o", "other.json", cwd=tmp_path).returncode == 0
    assert load_plan(tmp_path / "other.json").name == "legal_7b"


@pytest.mark.parametrize("place", ["no/such/folder/plan.json", "."])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    refused = forge("plan", "hardware=cpu", "--output", place, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith("name another file with --output")
    assert "Traceback" not in refused.stderr
