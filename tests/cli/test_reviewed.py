"""A plan that was reviewed: carried out as it is, or refused with what no longer holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forge.cli.reviewed import Reviewed, ready, reviewed_plan
from forge.errors import FitError, SpecError
from forge.plan.stages import plan_stages
from forge.plan.types import load_plan, plan_id
from forge.spec.compose import compose_spec
from tests.cli.test_main import forge


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of documents, and a plan for them beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("some words of a document")
    assert forge("plan", "data.path=documents", "hardware=cpu", cwd=tmp_path).returncode == 0
    return tmp_path / "plan.json"


def test_a_plan_that_holds_is_ready_as_it_is(planned: Path) -> None:
    assert ready(planned, accepts_drift=False) == (load_plan(planned), ())


def test_changed_documents_are_named_and_may_be_accepted(planned: Path) -> None:
    (planned.parent / "documents" / "a.txt").write_text("other words of a document")
    with pytest.raises(FitError) as refused:
        ready(planned, accepts_drift=False)
    first, last = refused.value.lines
    assert first.startswith(f"{planned}: documents: documents: 1 file of 24 bytes")
    assert last == f"{planned}: compile it again, or carry it out all the same with --accept-drift"

    reviewed, (accepted, drift) = load_plan(planned), ready(planned, accepts_drift=True)
    assert drift == (first.removeprefix(f"{planned}: "),)
    assert accepted.id == plan_id(accepted) != reviewed.id
    assert (accepted.model, accepted.layout, accepted.schedule) == (
        reviewed.model,
        reviewed.layout,
        reviewed.schedule,
    )
    assert all(new.key != old.key for new, old in zip(accepted.stages, reviewed.stages, strict=True))
    assert accepted.stages == plan_stages(
        accepted.spec,
        accepted.sources,
        accepted.initial_weights,
        accepted.model,
        accepted.layout,
        accepted.schedule,
        accepted.deepspeed,
    )


def test_documents_that_are_gone_are_said(planned: Path) -> None:
    (planned.parent / "documents" / "a.txt").unlink()
    (planned.parent / "documents").rmdir()
    with pytest.raises(SpecError, match=r"plan.json: data.path: documents: does not exist"):
        ready(planned, accepts_drift=True)


def test_a_plan_for_other_hardware_is_refused(planned: Path, tmp_path: Path) -> None:
    forge(
        "plan", "data.path=documents", "+recipe=legal_7b", "hardware=8xh100", "-o", "big.json", cwd=tmp_path
    )
    refused = forge("plan=big.json", cwd=tmp_path, script="run_main")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (3, 1)
    assert "needs 8 h100-sxm-80gb a node, this machine has no GPU" in refused.stderr


def test_a_plan_that_was_edited_is_refused(planned: Path) -> None:
    content = json.loads(planned.read_text())
    content["schedule"]["learning_rate"] = 1.0
    planned.write_text(json.dumps(content))
    refused = forge("plan=plan.json", cwd=planned.parent, script="run_main")
    assert (refused.returncode, refused.stderr) == (
        2,
        "plan.json: was changed after it was compiled: compile it again with `forge plan`\n",
    )


def test_nothing_else_is_said_beside_a_plan() -> None:
    assert reviewed_plan(["train.steps=1"]) is None
    usual = compose_spec([]).values
    here = usual["launch"]
    assert reviewed_plan(["plan=p.json", "output_dir=/x"]) == Reviewed(
        Path("p.json"), Path("/x"), None, "ssh", here, None
    )
    elsewhere = reviewed_plan(["plan=p.json", "launch=slurm", "launch.partition=gpu"])
    assert elsewhere is not None
    told = reviewed_plan(["plan=p.json", "track=mlflow"])
    assert told is not None
    assert told.track == usual["track"] | {"to": ["mlflow"]}
    assert elsewhere.launch == here | {"target": "slurm", "partition": "gpu"}
    with pytest.raises(SpecError, match=r"train.steps=1: a plan is carried out as it is"):
        reviewed_plan(["plan=p.json", "train.steps=1"])


def test_plans_and_overrides_are_compared(planned: Path) -> None:
    shown = forge(
        "plan",
        "--diff",
        "plan.json",
        "data.path=documents hardware=cpu train.learning_rate=2e-3",
        cwd=planned.parent,
    )
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    assert "train.learning_rate 0.001 0.002" in text
    assert "schedule.min_learning_rate 0.0001 0.0002" in text
    assert "stages made anew: train, evaluate, export" in text
    same = forge("plan", "--diff", "plan.json", "plan.json", cwd=planned.parent)
    assert same.stdout.splitlines()[-1] == "the same plan"
    alone = forge("plan", "--diff", "plan.json", cwd=planned.parent)
    assert (alone.returncode, alone.stderr) == (
        2,
        "command line: --diff: takes two: plan files, or overrides in quotes\n",
    )


def test_where_documents_are_gone_a_plan_is_not_told_to_set_them(planned: Path) -> None:
    (planned.parent / "documents").rename(planned.parent / "elsewhere")
    with pytest.raises(SpecError) as refused:
        ready(planned, accepts_drift=True)
    assert refused.value.lines == (
        f"{planned}: data.path: documents: does not exist: put it there, or compile a plan for other documents "
        "with `forge plan`",
    )


def test_a_plan_made_without_documents_is_not_carried_out(planned: Path) -> None:
    forge("plan", "hardware=cpu", "-o", "without.json", cwd=planned.parent)
    with pytest.raises(SpecError) as refused:
        ready(Path("without.json"), accepts_drift=True)
    assert refused.value.lines == (
        "without.json: was made without documents: compile it again with data.path=/my/folder",
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("plan=",), "plan: is empty: name a file that `forge plan` wrote, as plan=plan.json"),
        (("plan=a", "plan=b"), "plan: is given more than once: give one"),
        (("plan=a", "output_dir="), "output_dir: is empty: give one"),
        (("plan=a", "-m"), "--multirun: a plan is one run: drop it"),
        (("hardware=cpu", "--accept-drift"), "--accept-drift: goes with plan=FILE: drop it, or name a plan"),
    ],
)
def test_what_does_not_go_with_a_plan_is_one_line(
    arguments: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    refused = forge(*arguments, cwd=tmp_path, script="run_main")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"command line: {line}\n")
