"""What can't be trained, or not gone on with, is refused with one line before the first step."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.engine.checkpoint_folder import checkpoint_name, checkpoint_steps
from forge.engine.distributed import Place
from forge.errors import StageError
from forge.plan.types import Plan
from tests.engine.poison import stop_after
from tests.engine.runs import events_of, losses, make_run, train_here
from tests.engine.test_launch import PARENT
from tests.factories import tiny_plan, write_tokens


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (
            tiny_plan(schedule={"global_batch_sequences": 6}),
            "1 processes x 4 sequences x 1 accumulated make a batch of 4, the plan's is 6: compile the plan again",
        ),
    ],
)
def test_a_plan_that_does_not_add_up_is_refused(
    plan: Plan, line: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(StageError, match=line):
        train_here(plan, tokens, run_dir, place)
    assert not (run_dir / "events.jsonl").exists()


@pytest.mark.parametrize("name", ["train.bin", "tokens.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_tokens_that_are_not_whole_are_named(name: str, damage: str, tmp_path: Path, place: Place) -> None:
    tokens = write_tokens(tmp_path / "tokens")
    content = (tokens / name).read_bytes()
    (tokens / name).unlink()
    if damage == "truncated":
        (tokens / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(StageError) as caught:
        train_here(tiny_plan(), tokens, make_run(tmp_path, tiny_plan()), place)
    (line,) = caught.value.lines
    assert name in line
    assert line.endswith("delete this folder and run again")


@pytest.mark.parametrize(
    "change", [{"seed": 8}, {"schedule": {"learning_rate": 1e-3}}, {"model": {"intermediate_size": 96}}]
)
def test_a_checkpoint_of_another_training_is_refused_and_left_alone(
    change: dict[str, Any], tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan, other = tiny_plan(), tiny_plan(**change)
    run_dir, another = make_run(tmp_path / "one", plan), make_run(tmp_path / "other", other)
    train_here(plan, tokens, run_dir, place)
    shutil.copytree(run_dir / "checkpoints", another / "checkpoints")
    with pytest.raises(
        StageError, match=r"^train: .*step-00000006: it belongs to another training .*: move it"
    ):
        train_here(other, tokens, another, place)
    assert checkpoint_steps(another / "checkpoints") == [6, 3]
    assert not losses(another)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "can't be read (No such file or directory)"),
        (lambda file: os.truncate(file, file.stat().st_size // 2), "has the wrong size"),
    ],
)
def test_a_checkpoint_whose_file_is_missing_or_truncated_is_named_and_the_one_before_is_used(
    damage: Callable[[Path], None], said: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    run_dir = make_run(tmp_path, tiny_plan())
    train_here(tiny_plan(), tokens, run_dir, place)
    (file,) = (run_dir / "checkpoints" / checkpoint_name(6)).glob("*.safetensors")
    damage(file)
    train_here(tiny_plan(), tokens, run_dir, place)
    (note,) = events_of(run_dir, "note")
    assert note["line"] == f"train: checkpoint step-00000006 is not used: {file.name} {said}"
    assert events_of(run_dir, "train_start")[-1]["resumed_from"] == 3


def test_damaged_checkpoints_never_push_out_those_written_after_them(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(schedule={"checkpoint_every_steps": 2, "keep_checkpoints": 2})
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == [6, 4]
    for step in (6, 4):
        (run_dir / "checkpoints" / checkpoint_name(step) / "manifest.json").write_text("{}")
    with monkeypatch.context() as patch:
        stop_after(patch, run_dir, 3)
        train_here(plan, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == [3, 2]
    train_here(plan, tokens, run_dir, place)
    assert [start["resumed_from"] for start in events_of(run_dir, "train_start")] == [None, None, 3]


def test_a_run_folder_that_cannot_be_written_is_said_before_the_first_step(
    tmp_path: Path, tokens: Path
) -> None:
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    run_dir = make_run(tmp_path, tiny_plan())
    checkpoints = run_dir / "checkpoints"
    checkpoints.mkdir()
    probe = [*own, "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(checkpoints)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("this machine lets no user mount a disk")
    script = 'mount -t tmpfs -o ro tmpfs "$1" && shift && exec "$@"'
    done = subprocess.run(
        [
            *(*own, "sh", "-c", script, "sh", str(checkpoints)),
            *(sys.executable, "-c", PARENT, str(tokens), str(run_dir)),
        ],
        capture_output=True,
        text=True,
    )
    assert f"train: {checkpoints}: can't be written (Read-only file system)" in done.stderr, done
    assert not losses(run_dir)
