from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.engine.checkpoint_folder import (
    AnotherTraining,
    checkpoint_name,
    checkpoint_steps,
    clear_leftovers,
    files_problem,
    kept_steps,
    prune,
    publish,
    read_manifest,
    read_parts,
    remove_part,
    space_problem,
    temporary_checkpoint,
    write_part,
    writing_problem,
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
    with pytest.raises(AnotherTraining, match=rf"^it belongs to another training \({OWNER}"):
        read_manifest(folder / checkpoint_name(6), "another")


@given(st.data())
def test_no_changed_bit_of_a_manifest_goes_unseen(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, 6, b"content")
        path = folder / checkpoint_name(6) / "manifest.json"
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 2))  # but for the newline at its end
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^manifest\.json (is damaged|was changed)"):
            read_manifest(folder / checkpoint_name(6), OWNER)


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


@pytest.mark.parametrize(
    ("written", "newest", "every", "best", "kept"),
    [
        (12, 2, 0, None, {9, 12}),
        (12, 1, 0, None, {12}),
        (12, 1, 6, None, {6, 12}),
        (12, 1, 0, 3, {3, 12}),
        (12, 2, 6, 3, {3, 6, 9, 12}),
        # After going on from step 3, where those of steps 6 and later did not verify.
        (4, 1, 0, None, {4}),
        (4, 1, 6, 9, {4}),
    ],
)
def test_what_stays_is_the_newest_every_so_many_and_the_best(
    written: int, newest: int, every: int, best: int | None, kept: set[int]
) -> None:
    assert kept_steps([12, 9, 6, 4, 3], written, newest, every, best) == kept


def test_pruning_leaves_what_is_kept_and_nothing_else(folder: Path) -> None:
    prune(folder, {3, 6})
    assert checkpoint_steps(folder) == [6, 3]
    prune(folder, {6})
    assert checkpoint_steps(folder) == [6]
    assert sorted(path.name for path in folder.iterdir()) == [checkpoint_name(6)]


def test_parts_are_read_when_all_are_there_and_are_no_part_of_what_is_published(folder: Path) -> None:
    half = temporary_checkpoint(folder, 9)
    half.mkdir()
    assert read_parts(folder, 9, 2) is None
    write_part(folder, 9, 1, {"adam_steps": 9})
    assert read_parts(folder, 9, 2) is None
    write_part(folder, 9, 0, {"adam_steps": 0})
    assert read_parts(folder, 9, 2) == [{"adam_steps": 0}, {"adam_steps": 9}]
    (half / "rank00001-00000.safetensors").write_bytes(b"half")
    remove_part(folder, 9, 1)
    assert read_parts(folder, 9, 2) is None
    assert [path.name for path in half.iterdir()] == ["part-rank00000.json"]
    publish(folder, 9, {"training": OWNER, "files": {}})
    assert [path.name for path in (folder / checkpoint_name(9)).iterdir()] == ["manifest.json"]


def test_a_folder_that_cannot_be_written_is_said_so(folder: Path, tmp_path: Path) -> None:
    assert writing_problem(folder) is None
    assert checkpoint_steps(folder) == [6, 3]
    assert writing_problem(tmp_path / "new" / "checkpoints") is None
    (tmp_path / "file").write_text("")
    line = writing_problem(tmp_path / "file")
    assert line is not None
    assert line.startswith(
        f"train: {tmp_path / 'file'}: can't be written (File exists): checkpoints go there"
    )


def test_room_is_judged_by_parameters(folder: Path) -> None:
    assert space_problem(folder, 9, parameters=1_000) is None
    line = space_problem(folder, 9, parameters=10**18)
    assert line is not None
    assert line.startswith("train: the checkpoint of step 9 needs 1.2e+10 GB")
