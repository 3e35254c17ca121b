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


def test_a_place_that_cannot_be_written_is_named_as_it_was_typed(tmp_path: Path) -> None:
    refused = forge("plan", "hardware=cpu", "-o", "none/x.json", cwd=tmp_path)
    assert refused.stderr.splitlines()[-1] == (
        "none/x.json: cannot be written (No such file or directory): make the folder none, or name another file "
        "with --output"
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--json", "--spec"), "--json and --spec"),
        (("--spec", "--why", "seed"), "--spec and --why"),
        (("--json", "-o", "x.json"), "--json and --output"),
        (("--diff", "--json", "seed=1", "seed=2"), "--json and --diff"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(
    options: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    refused = forge("plan", "hardware=cpu", *options, cwd=tmp_path)
    line = f"command line: {named} do not go together: give one\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--json",), ("--spec",), ("--why", "seed"), ()])
def test_a_key_given_twice_is_said(option: tuple[str, ...], tmp_path: Path) -> None:
    shown = forge("plan", "hardware=cpu", "seed=1", "seed=2", *option, cwd=tmp_path)
    assert shown.returncode == 0
    note = "note: command line: seed: is given more than once: the last counts, 2"
    assert shown.stderr.splitlines()[0] == note


def test_what_follows_the_two_sides_of_a_diff_is_common_to_both(tmp_path: Path) -> None:
    shown = forge(
        "plan", "--diff", "hardware=8xh100", "hardware=16xh100", "+recipe=legal_7b", "seed=7", cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    assert text.startswith("legal_7b ")
    assert "hardware.nodes 1 2" in text
    assert "seed" not in text
    own = forge("plan", "--diff", "seed=1", "", "hardware=cpu", "seed=2", cwd=tmp_path)
    assert "seed 1 2" in " ".join(own.stdout.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("/nope.json", "hardware=cpu"),
            "/nope.json: no such file: name a plan, or give overrides in quotes, as 'hardware=8xh100'",
        ),
        (
            ("plan.json", "plan.json", "seed=2"),
            "plan.json: is a plan as it was compiled: leave out seed=2",
        ),
        (
            ("name='x", "hardware=cpu"),
            "command line: name='x: cannot be split into overrides (No closing quotation): mend its quotes",
        ),
    ],
)
def test_a_side_of_a_diff_that_is_none_is_one_line(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    forge("plan", "hardware=cpu", cwd=tmp_path)
    refused = forge("plan", "--diff", *words, cwd=tmp_path)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"{line}\n")


def test_long_keys_of_a_diff_stand_on_one_line(tmp_path: Path) -> None:
    shown = forge("plan", "--diff", "engine.zero_stage=3", "engine.zero_stage=2", *LARGE, cwd=tmp_path)
    words = shown.stdout.split()
    for key in ("stage3_param_persistence_threshold", "stage3_gather_16bit_weights_on_model_save"):
        assert f"deepspeed.zero_optimization.{key}" in words
    assert "…" not in shown.stdout
    for line in shown.stdout.splitlines():
        if line.strip().startswith(("layout.", "deepspeed.")):
            assert len(line.split()) == 3, line
