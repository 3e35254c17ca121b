from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from forge.errors import MachineError, StageError
from forge.locks import take_lock
from forge.plan.types import StagePlan
from forge.run.artifacts import artifact_folder, find_artifact, link_artifact, make_artifact, remove_dead

STAGE = StagePlan("lake", (), {"size": 3}, "0123456789ab")


def fill(out: Path) -> dict[str, Any]:
    (out / "inner").mkdir()
    (out / "inner" / "data").write_text("abc")
    return {"documents": 1}


def never() -> None:
    raise AssertionError("nobody else is at work")


def test_an_artifact_is_made_once_and_found_again(tmp_path: Path) -> None:
    assert find_artifact(tmp_path, STAGE) is None
    made = make_artifact(tmp_path, STAGE, fill, never)
    assert made.folder == tmp_path / "lake-0123456789ab"
    assert (made.folder / "inner" / "data").read_text() == "abc"
    assert [path.name for path in tmp_path.iterdir()] == ["lake-0123456789ab"]
    content = json.loads((made.folder / "artifact.json").read_text())
    assert content["files"] == {"inner/data": 3}
    assert content["parameters"] == {"size": 3}
    found = make_artifact(tmp_path, STAGE, lambda out: pytest.fail("made twice"), never)
    assert found == find_artifact(tmp_path, STAGE) == made


def test_a_failure_leaves_nothing_and_a_leftover_is_cleared(tmp_path: Path) -> None:
    def fail(out: Path) -> dict[str, Any]:
        fill(out)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        make_artifact(tmp_path, STAGE, fail, never)
    assert list(tmp_path.iterdir()) == []
    leftover = tmp_path / ".tmp-lake-0123456789ab"
    leftover.mkdir()
    (leftover / "half").write_text("x")
    made = make_artifact(tmp_path, STAGE, fill, never)
    assert not (made.folder / "half").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MachineError("killed")]
)
def test_finished_parts_outlive_a_failure_and_are_no_part_of_the_artifact(
    tmp_path: Path, error: BaseException
) -> None:
    def fail(out: Path) -> dict[str, Any]:
        fill(out)
        (out / "work").mkdir()
        (out / "work" / "part").write_text("done")
        raise error

    def go_on(out: Path) -> dict[str, Any]:
        assert [path.name for path in out.iterdir()] == ["work"]
        assert (out / "work" / "part").read_text() == "done"
        return fill(out)

    with pytest.raises(type(error)):
        make_artifact(tmp_path, STAGE, fail, never)
    made = make_artifact(tmp_path, STAGE, go_on, never)
    assert sorted(path.name for path in made.folder.iterdir()) == ["artifact.json", "inner"]
    assert json.loads((made.folder / "artifact.json").read_text())["files"] == {"inner/data": 3}


def test_a_users_mistake_leaves_no_parts(tmp_path: Path) -> None:
    def fail(out: Path) -> dict[str, Any]:
        (out / "work").mkdir()
        (out / "work" / "part").write_text("done")
        raise StageError("all documents were set aside")

    with pytest.raises(StageError):
        make_artifact(tmp_path, STAGE, fail, never)
    assert list(tmp_path.iterdir()) == []


def test_parts_that_a_kill_left_in_a_finished_artifact_are_removed(tmp_path: Path) -> None:
    made = make_artifact(tmp_path, STAGE, fill, never)
    (made.folder / "work").mkdir()
    (made.folder / "work" / "part").write_text("x")
    assert find_artifact(tmp_path, STAGE) == made
    assert not (made.folder / "work").exists()


def test_a_changed_artifact_is_refused_and_kept(tmp_path: Path) -> None:
    made = make_artifact(tmp_path, STAGE, fill, never)
    (made.folder / "inner" / "data").write_text("abcd")
    with pytest.raises(
        StageError, match=r"inner/data: was changed after it was written: move that folder away"
    ):
        find_artifact(tmp_path, STAGE)
    (made.folder / "inner" / "data").unlink()
    with pytest.raises(StageError, match=r"data: cannot be read \(No such file"):
        find_artifact(tmp_path, STAGE)
    (made.folder / "artifact.json").write_text("{")
    with pytest.raises(StageError, match=r"artifact.json: is damaged"):
        find_artifact(tmp_path, STAGE)
    assert made.folder.is_dir()


def test_two_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    count = []

    def slow(out: Path) -> dict[str, Any]:
        count.append(out)
        inside.set()
        assert go_on.wait(10)
        return fill(out)

    first = threading.Thread(target=make_artifact, args=(tmp_path, STAGE, slow, never))
    first.start()
    assert inside.wait(10)
    second = make_artifact(tmp_path, STAGE, lambda out: pytest.fail("made twice"), go_on.set)
    first.join()
    assert len(count) == 1
    assert second.summary == {"documents": 1}


def test_a_run_links_to_its_artifacts(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "artifacts", STAGE, fill, never)
    run_dir = tmp_path / "runs" / "one"
    run_dir.mkdir(parents=True)
    for _ in range(2):
        link_artifact(artifact, run_dir)
        assert (run_dir / "lake").resolve() == artifact_folder(tmp_path / "artifacts", STAGE).resolve()
    (run_dir / "lake").unlink()
    (run_dir / "lake").symlink_to("elsewhere")
    link_artifact(artifact, run_dir)
    assert (run_dir / "lake" / "inner" / "data").read_text() == "abc"


def leftover(root: Path, name: str, age_s: float) -> Path:
    folder = root / f".tmp-{name}"
    (folder / "work").mkdir(parents=True)
    (folder / "work" / "part").write_text("done")
    for path in (folder / "work" / "part", folder / "work", folder):
        os.utime(path, (time.time() - age_s,) * 2)
    return folder


def test_only_what_nobody_comes_back_to_is_removed(tmp_path: Path) -> None:
    week_s = 7 * 24 * 3600
    dead = leftover(tmp_path, "corpus-000000000000", week_s + 60)
    own = leftover(tmp_path, "lake-0123456789ab", week_s + 60)
    young = leftover(tmp_path, "corpus-111111111111", week_s - 3600)
    part_is_young = leftover(tmp_path, "corpus-222222222222", week_s + 60)
    os.utime(part_is_young / "work" / "part")
    held = leftover(tmp_path, "tokens-333333333333", week_s + 60)
    made = make_artifact(tmp_path, StagePlan("lake", (), {}, "444444444444"), fill, never).folder
    with take_lock(tmp_path / ".tokens-333333333333.lock", patience_s=0):
        assert remove_dead(tmp_path, [STAGE]) == [dead]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in (own, young, part_is_young, held, made)),
        ".tokens-333333333333.lock",
    }
    # The process that held the lock is gone.
    assert remove_dead(tmp_path, [STAGE]) == [held]
    assert remove_dead(tmp_path / "none", [STAGE]) == []
