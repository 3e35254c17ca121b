from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from forge.engine.checkpoint_folder import (
    checkpoint_name,
    checkpoint_steps,
    clear_leftovers,
    files_problem,
    prune,
    publish,
    read_manifest,
    space_problem,
    temporary_checkpoint,
)

OWNER = "0123456789ab"


def write(folder: Path, step: int, content: bytes) -> None:
    temporary_checkpoint(folder, step).mkdir()
    (temporary_checkpoint(folder, step) / "weights").write_bytes(content)
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    publish(folder, step, {"training": OWNER, "files": {"weights": facts}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two whole checkpoints, of steps 3 and 6."""
    folder = tmp_path / "checkpoints"
    clear_leftovers(folder)
    for step in (3, 6):
        write(folder, step, bytes([step]) * 1_000)
    return folder


def problem(checkpoint: Path, training: str = OWNER) -> str | None:
    try:
        files = read_manifest(checkpoint, training)["files"]
    except ValueError as error:
        return str(error)
    return files_problem(checkpoint, files, sorted(files))


def test_a_whole_one_has_no_problem(folder: Path) -> None:
    assert checkpoint_steps(folder) == [6, 3]
    assert checkpoint_steps(folder / "nowhere") == []
    assert problem(folder / checkpoint_name(6)) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: (c / "weights").write_bytes(b"\x07" * 1_000), "weights was changed after it was written"),
        (lambda c: (c / "weights").write_bytes(b"\x06" * 999), "weights has the wrong size"),
        (lambda c: (c / "weights").unlink(), "weights can't be read"),
        (lambda c: (c / "manifest.json").unlink(), "manifest.json can't be read"),
        (lambda c: (c / "manifest.json").write_text('{"step": 6, "pl'), "manifest.json is damaged"),
        (lambda c: (c / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_a_damaged_one_says_what_is_wrong(
    folder: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(folder / checkpoint_name(6))
    found = problem(folder / checkpoint_name(6))
    assert found is not None
    assert reason in found


def test_one_of_another_training_says_so(folder: Path) -> None:
    found = problem(folder / checkpoint_name(6), "another")
    assert found is not None
    assert found.startswith(f"it belongs to another training ({OWNER}")


def test_a_half_written_one_is_never_seen_and_is_cleared(folder: Path) -> None:
    half = temporary_checkpoint(folder, 9)
    half.mkdir()
    (half / "weights").write_bytes(b"half")
    assert checkpoint_steps(folder) == [6, 3]
    clear_leftovers(folder)
    assert not half.exists()
    assert checkpoint_steps(folder) == [6, 3]


def test_a_step_reached_again_replaces_its_checkpoint(folder: Path) -> None:
    (folder / checkpoint_name(6) / "manifest.json").unlink()
    write(folder, 6, b"again")
    assert problem(folder / checkpoint_name(6)) is None
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint_name(3), checkpoint_name(6)]


def test_pruning_keeps_the_newest(folder: Path) -> None:
    prune(folder, 2)
    assert checkpoint_steps(folder) == [6, 3]
    prune(folder, 1)
    assert checkpoint_steps(folder) == [6]
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint_name(6)]


def test_room_is_judged_by_parameters(folder: Path) -> None:
    assert space_problem(folder, 9, parameters=1_000) is None
    line = space_problem(folder, 9, parameters=10**18)
    assert line is not None
    assert line.startswith("train: the checkpoint of step 9 needs 1.2e+10 GB")
