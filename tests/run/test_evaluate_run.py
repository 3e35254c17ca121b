"""A finished run is measured on other files, held against the run before, and stays as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forge.engine.checkpoint_folder import checkpoint_folder, clear_leftovers, publish, temporary_checkpoint
from forge.errors import SpecError, StageError
from forge.files import replace_text
from forge.plan.types import Plan, plan_id, plan_to_json
from forge.progress import SilentProgress
from forge.run.artifacts import make_artifact
from forge.run.evaluate_run import evaluate_run
from forge.run.evaluations import evaluation_of, previous_run
from tests.data.builders import prose
from tests.evaluate.taught import (
    HELD_OUT,
    SUBJECTS,
    TRAIN,
    asked,
    evaluate_taught,
    write_facts,
    write_questions,
    write_taught,
)
from tests.export.artifacts import planned

STAGES = ("corpus", "tokenizer", "tokens", "train")


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("taught")
    write_taught(folder)
    return folder


def plan_of_seed(seed: int) -> Plan:
    plan = replace(planned(evaluate={"answer_tokens": 16, "unknown_questions": 2}), seed=seed)
    return replace(plan, id=plan_id(plan))


def write_run(place: Path, taught: Path, seed: int = 7, stages: tuple[str, ...] = STAGES) -> Path:
    """Write a run below `place` whose stages up to the training are done; return its folder."""
    plan = plan_of_seed(seed)
    for name in stages:

        def fill(out: Path, name: str = name) -> dict[str, Any]:
            shutil.copytree(taught / name, out, dirs_exist_ok=True)
            return {}

        make_artifact(place / "artifacts", plan.stage(name), fill, lambda: None)
    run_dir = place / "runs" / f"{plan.name}-{plan.id}"
    run_dir.mkdir(parents=True)
    replace_text(run_dir / "plan.json", plan_to_json(plan))
    return run_dir


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "evaluations" not in path.parts
    }


@pytest.fixture
def run_dir(taught: Path, tmp_path: Path) -> Path:
    return write_run(tmp_path / "place", taught)


def measure(run_dir: Path, name: str, text: str) -> dict[str, Any]:
    file = run_dir.parent.parent.parent / name
    file.write_text(text)
    return evaluate_run(run_dir, file, SilentProgress()).content


def test_questions_of_another_file_are_asked(run_dir: Path, tmp_path: Path) -> None:
    before = everything(tmp_path / "place")
    facts = write_facts(tmp_path / "facts.csv")
    found = evaluate_run(run_dir, facts, SilentProgress())
    assert found.content["recall"]["model"]["document"]["exact"] == 3
    assert found.content["step"] == planned().schedule.steps
    assert json.loads((found.folder / "evaluation.json").read_text()) == found.content
    assert (found.folder / "questions.jsonl").is_file()
    assert found.folder.parent == run_dir / "evaluations"
    assert everything(tmp_path / "place") == before

    again = evaluate_run(run_dir, facts, SilentProgress())
    assert again == found
    evaluate_run(run_dir, write_questions(tmp_path / "questions.jsonl"), SilentProgress())
    assert len(list((run_dir / "evaluations").iterdir())) == 2


def test_text_is_measured_in_bits_per_byte(run_dir: Path) -> None:
    known = f"Q: {asked(SUBJECTS[0])}\nA: red\n"
    found = measure(run_dir, "known.txt", known)["text"]
    assert (found["documents"], found["bytes"]) == (1, len(known))
    other = measure(run_dir, "other.txt", "Entirely something else, zzz, 日本.")["text"]
    assert 2 * found["bits_per_byte"] < other["bits_per_byte"]
    lines = (
        json.dumps({"text": known}) + "\n" + json.dumps({"text": " "}) + "\n" + json.dumps({"text": known})
    )
    both = measure(run_dir, "both.jsonl", lines)
    assert both["kind"] == "text"
    assert both["text"]["documents"] == 2
    (folder,) = (run_dir / "evaluations").glob("both-*")
    rows = [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]
    assert [row["document"] for row in rows] == [1, 2]


def test_what_the_training_text_has_of_a_file_is_told(run_dir: Path) -> None:
    trained_on = next(text for text in TRAIN if len(text.split()) > 20)
    lines = [{"text": trained_on}, {"text": prose(1, 40)}]
    found = measure(run_dir, "leak.jsonl", "\n".join(map(json.dumps, lines)))["contamination"]["sets"]
    assert list(found) == ["text"]
    assert (found["text"]["texts"], found["text"]["texts_contaminated"]) == (2, 1)
    questions = [{"question": asked(SUBJECTS[0]), "answer": "red"}, {"question": prose(2, 9), "answer": "no"}]
    found = measure(run_dir, "asked.jsonl", "\n".join(map(json.dumps, questions)))["contamination"]["sets"]
    assert [(kind, some["texts_contaminated"]) for kind, some in found.items()] == [("seen", 1), ("other", 0)]


def test_text_costs_what_the_same_text_costs_as_a_held_out_one(
    run_dir: Path, taught: Path, tmp_path: Path
) -> None:
    rows = [{"text": text} for text in HELD_OUT]
    found = measure(run_dir, "held.jsonl", "\n".join(map(json.dumps, rows)))["text"]
    result = evaluate_taught(taught, tmp_path)
    assert found["bits_per_byte"] == pytest.approx(result["held_out_bits_per_byte"])
    assert found["xz_bits_per_byte"] == result["baselines"]["xz_bits_per_byte"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "", "has no text: give a file with some"),
        ("a.txt", " \n", "has no text: give a file with some"),
        ("a.jsonl", "", "has no text: give a file with some"),
        ("a.jsonl", '{"body": "x"}', r"a\.jsonl:1: has neither question, text nor a conversation"),
        ("a.jsonl", '{"question": "x"}', "has no answer"),
        ("a.jsonl", "{", r"a\.jsonl:1: is not JSON"),
        ("a.csv", "a,b\n", "has no column subject"),
        (
            "a.jsonl",
            '{"prompt": "x", "completion": "y"}',
            "is a conversation, and the model was trained on documents",
        ),
    ],
)
def test_a_file_that_says_nothing_is_one_line(run_dir: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        measure(run_dir, name, text)
    assert len(str(caught.value).splitlines()) == 1
    assert not (run_dir / "evaluations").exists()


def test_bytes_that_are_no_text_are_one_line(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(StageError, match=r"a\.txt:1: is not UTF-8"):
        evaluate_run(run_dir, tmp_path / "a.txt", SilentProgress())
    with pytest.raises(StageError, match="cannot be read"):
        evaluate_run(run_dir, tmp_path / "none.txt", SilentProgress())
    with pytest.raises(SpecError, match="is no folder of a run"):
        evaluate_run(tmp_path, tmp_path / "a.txt", SilentProgress())


def test_a_run_without_a_model_is_one_line(taught: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    run_dir = write_run(tmp_path / "place", taught, stages=("corpus", "tokenizer"))
    with pytest.raises(StageError, match=r"^evaluate: .*has no whole checkpoint"):
        evaluate_run(run_dir, tmp_path / "a.txt", SilentProgress())
    empty = write_run(tmp_path / "empty", taught, stages=())
    with pytest.raises(StageError, match=r"^evaluate: .*has no tokenizer yet"):
        evaluate_run(empty, tmp_path / "a.txt", SilentProgress())


def test_a_checkpoint_of_another_plan_is_not_measured(taught: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    run_dir = write_run(tmp_path / "place", taught, stages=("corpus", "tokenizer"))
    folder = checkpoint_folder(run_dir)
    clear_leftovers(folder)
    temporary_checkpoint(folder, 3).mkdir()
    publish(folder, 3, {"training": "0123456789ab", "files": {}})
    said: list[str] = []

    class Notes(SilentProgress):
        def note(self, line: str) -> None:
            said.append(line)

    with pytest.raises(StageError, match="has no whole checkpoint"):
        evaluate_run(run_dir, tmp_path / "a.txt", Notes())
    (line,) = said
    assert "is not used" in line


def evaluated(place: Path, taught: Path, seed: int) -> Path:
    run_dir = write_run(place, taught, seed)
    stage = plan_of_seed(seed).stage("evaluate")
    make_artifact(place / "artifacts", stage, lambda out: evaluate_taught(taught, out), lambda: None)
    return run_dir


def test_the_run_before_is_the_last_of_the_same_name(taught: Path, tmp_path: Path) -> None:
    runs = [evaluated(tmp_path, taught, 1), write_run(tmp_path, taught, 2), write_run(tmp_path, taught, 3)]
    for age, run_dir in enumerate(runs):
        os.utime(run_dir / "plan.json", (1_000 + age, 1_000 + age))
    assert previous_run(runs[0]) is None
    assert (
        previous_run(runs[2]) == runs[1].resolve()
    )  # all have one evaluation: its key says nothing of the seed
    shutil.rmtree(evaluation_of(runs[1]).folder)
    assert previous_run(runs[2]) is None
    with pytest.raises(StageError, match="is not evaluated yet"):
        evaluation_of(runs[1])


def test_an_evaluation_of_an_older_forge_is_said_to_be_one(taught: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, taught)
    old = {"held_out_bits_per_byte": 1.0}
    make_artifact(tmp_path / "artifacts", plan_of_seed(7).stage("evaluate"), lambda out: old, lambda: None)
    with pytest.raises(StageError, match="was evaluated by an older forge"):
        evaluation_of(run_dir)


def test_runs_are_compared_from_the_command_line(taught: Path, tmp_path: Path) -> None:
    one, other = evaluated(tmp_path, taught, 1), write_run(tmp_path, taught, 2)
    command = [sys.executable, "-m", "forge.cli.main", "compare", str(one), str(other)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "held-out text, 9 documents in common" in shown
    assert "questions: the runs asked none in common" in shown
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    assert found["held_out"]["difference"] == 0
    refused = subprocess.run([*command[:-1], str(tmp_path)], capture_output=True, text=True)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_an_evaluation_is_shown_from_the_command_line(taught: Path, tmp_path: Path) -> None:
    run_dir = evaluated(tmp_path, taught, 1)
    command = [sys.executable, "-m", "forge.cli.main", "evaluate", str(run_dir)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "near copies of them in the training text: 0" in shown
    assert "on mail" in " ".join(shown.split())
    (tmp_path / "a.txt").write_text("")
    refused = subprocess.run([*command, "--on", str(tmp_path / "a.txt")], capture_output=True, text=True)
    assert refused.returncode == 4
    assert refused.stderr == f"--on: {tmp_path / 'a.txt'}: has no text: give a file with some\n"
    (tmp_path / "a.txt").write_text("the licence grants")
    measured = subprocess.run([*command, "--on", str(tmp_path / "a.txt")], capture_output=True, text=True)
    assert "1 document, 18 B" in measured.stdout
    assert f"written to {run_dir / 'evaluations'}" in measured.stdout
