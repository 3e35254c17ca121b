from __future__ import annotations

from pathlib import Path

import pytest

from forge.engine.checkpoint_folder import (
    checkpoint_name,
    checkpoint_steps,
    clear_leftovers,
    newest_usable,
    prune,
    publish,
    space_problem,
    temporary_checkpoint,
)
from tests.factories import tiny_plan

PLAN = tiny_plan()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two whole checkpoints, of steps 3 and 6."""
    folder = tmp_path / "checkpoints"
    clear_leftovers(folder)
    for step in (3, 6):
        (temporary_checkpoint(folder, step) / "state").mkdir(parents=True)
        (temporary_checkpoint(folder, step) / "state" / "weights.pt").write_bytes(bytes([step]) * 1_000)
        publish(folder, step, PLAN)
    return folder


def usable(folder: Path) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    return newest_usable(folder, PLAN, lines.append), lines


def test_the_newest_whole_one_is_used(folder: Path) -> None:
    assert usable(folder) == (6, [])
    assert usable(folder / "nowhere") == (None, [])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: (c / "state/weights.pt").write_bytes(b"\x07" * 1_000), "was changed after it was written"),
        (lambda c: (c / "state/weights.pt").write_bytes(b"\x06" * 999), "has the wrong size"),
        (lambda c: (c / "state/weights.pt").unlink(), "can't be read"),
        (lambda c: (c / "manifest.json").unlink(), "manifest.json can't be read"),
        (lambda c: (c / "manifest.json").write_text('{"step": 6, "pl'), "manifest.json is damaged"),
        (lambda c: (c / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_a_damaged_one_is_passed_over(folder: Path, damage: object, reason: str) -> None:
    assert callable(damage)
    damage(folder / checkpoint_name(6))
    step, lines = usable(folder)
    assert step == 3
    assert len(lines) == 1
    assert reason in lines[0]


def test_one_of_another_plan_is_passed_over(folder: Path) -> None:
    step = newest_usable(folder, tiny_plan(seed=8), lambda line: None)
    assert step is None


def test_a_half_written_one_is_never_seen_and_is_cleared(folder: Path) -> None:
    half = temporary_checkpoint(folder, 9)
    half.mkdir()
    (half / "weights.pt").write_bytes(b"half")
    assert checkpoint_steps(folder) == [6, 3]
    assert usable(folder) == (6, [])
    clear_leftovers(folder)
    assert not half.exists()
    assert checkpoint_steps(folder) == [6, 3]


def test_a_step_reached_again_replaces_its_damaged_checkpoint(folder: Path) -> None:
    (folder / checkpoint_name(6) / "manifest.json").unlink()
    temporary_checkpoint(folder, 6).mkdir()
    (temporary_checkpoint(folder, 6) / "weights.pt").write_bytes(b"again")
    publish(folder, 6, PLAN)
    assert usable(folder) == (6, [])
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint_name(3), checkpoint_name(6)]


def test_pruning_keeps_the_newest(folder: Path) -> None:
    prune(folder, 2)
    assert checkpoint_steps(folder) == [6, 3]
    prune(folder, 1)
    assert checkpoint_steps(folder) == [6]
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint_name(6)]


def test_room_is_judged_by_the_newest_checkpoint_or_by_parameters(folder: Path, tmp_path: Path) -> None:
    assert space_problem(folder, 9, parameters=10**18) is None
    problem = space_problem(tmp_path, 9, parameters=10**18)
    assert problem is not None
    assert problem.startswith("train: the checkpoint of step 9 needs 1.6e+10 GB")
