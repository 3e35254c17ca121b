"""Standard tasks run on local files, without a network; lm-eval is an extra, so most of this is skipped without it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from forge.errors import StageError
from forge.evaluate.tasks import require_lm_eval, run_tasks
from tests.evaluate.taught import SUBJECTS, VALUES, asked, write_taught

needs_lm_eval = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="the extra lm-eval")

TASK = """\
task: colours
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""


def write_task(folder: Path) -> Path:
    """Write a task of the taught facts, one of which has a wrong key."""
    choices = list(VALUES.values())
    rows = [
        {"question": asked(subject), "choices": choices, "answer": choices.index(VALUES[subject])}
        for subject in SUBJECTS
    ]
    rows[3]["answer"] = (rows[3]["answer"] + 1) % 4  # type: ignore[operator]
    data = folder / "colours.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "colours.yaml"
    path.write_text(TASK.format(data=data))
    return path


def test_without_lm_eval_it_is_said_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_lm_eval([])
    with pytest.raises(StageError, match=r"^evaluate\.tasks: lm-eval is not installed: pip install"):
        require_lm_eval(["arc_easy"])


def test_a_task_file_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    require_lm_eval(["arc_easy", str(write_task(tmp_path))])
    with pytest.raises(StageError, match=r"none\.yaml: does not exist"):
        require_lm_eval([str(tmp_path / "none.yaml")])


@needs_lm_eval
def test_a_local_task_is_run_on_the_trained_weights(tmp_path: Path) -> None:
    write_taught(tmp_path)
    found = run_tasks([str(write_task(tmp_path))], tmp_path / "train", tmp_path / "tokenizer", "cpu", 2, 7)
    assert found["colours"]["main"] == "acc"
    assert found["colours"]["acc"] == 0.75
    assert found["colours"]["samples"] == 4


@needs_lm_eval
def test_a_task_without_its_data_is_one_line(tmp_path: Path) -> None:
    write_taught(tmp_path)
    task = write_task(tmp_path)
    (tmp_path / "colours.jsonl").unlink()
    with pytest.raises(StageError, match=r"^evaluate\.tasks: lm-eval failed") as caught:
        run_tasks([str(task)], tmp_path / "train", tmp_path / "tokenizer", "cpu", 2, 7)
    assert len(str(caught.value).splitlines()) == 1
