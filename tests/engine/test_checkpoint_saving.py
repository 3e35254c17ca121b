"""Saving in the background: what is written is the state at the step, whole or not at all, and errors come through."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.engine import checkpoint_saving
from forge.engine.checkpoint_folder import checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.shards import Shard, write_shards
from forge.errors import StageError
from tests.engine.poison import stop_after
from tests.engine.runs import events_of, losses, make_run, train_here, weights_sha256
from tests.factories import tiny_plan

PLAN = tiny_plan(schedule={"steps": 12, "checkpoint_every_steps": 3, "keep_checkpoints": 9})


class SlowDisk:
    """Holds back the writing of the checkpoint that is `number`th, from 0, until `let_go` is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int = 0) -> None:
        self._open = threading.Event()
        self._before = number
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(checkpoint_saving, "write_shards", self._write)

    def let_go(self) -> None:
        self._open.set()

    def _write(self, *arguments: Any) -> list[Shard]:
        if self._before == 0:
            assert self._open.wait(60)
        self._before -= 1
        return write_shards(*arguments)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    """Have the next training call `act` before it does `step`."""
    from forge.engine import loop

    one_step = loop._one_step

    def watched(training: loop.Training, number: int, save_failed: bool) -> loop.StepOutcome:
        if number + 1 == step:
            act()
        return one_step(training, number, save_failed)

    monkeypatch.setattr(loop, "_one_step", watched)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, tokens: Path, place: Place) -> Path:
    """An undisturbed training."""
    run_dir = make_run(tmp_path_factory.mktemp("quiet"), PLAN)
    train_here(PLAN, tokens, run_dir, place)
    return run_dir


@pytest.mark.parametrize(("zero_stage", "precision"), [(0, "fp32"), (1, "bf16"), (2, "fp32"), (3, "bf16")])
def test_what_is_saved_while_steps_go_on_is_the_state_at_its_step(
    zero_stage: int,
    precision: str,
    tmp_path: Path,
    tokens: Path,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoint of step 3 is written when step 5 is done; going on from it gives the same losses and weights."""
    layout = {"zero_stage": zero_stage, "precision": precision}
    plan = tiny_plan(
        layout=layout, schedule={"steps": 12, "checkpoint_every_steps": 3, "keep_checkpoints": 9}
    )
    whole = make_run(tmp_path / "whole", plan)
    with monkeypatch.context() as patch:
        disk = SlowDisk(patch)
        seen: list[list[int]] = []

        def let_go() -> None:
            seen.append(checkpoint_steps(whole / "checkpoints"))
            disk.let_go()

        at_step(patch, 6, let_go)
        train_here(plan, tokens, whole, place)
    assert seen == [[]]
    assert [event["step"] for event in events_of(whole, "checkpoint")] == [3, 6, 9, 12]
    again = make_run(tmp_path / "again", plan)
    (again / "checkpoints").mkdir()
    (whole / "checkpoints" / "step-00000003").rename(again / "checkpoints" / "step-00000003")
    train_here(plan, tokens, again, place)
    assert events_of(again, "train_start")[0]["resumed_from"] == 3
    assert [losses(again)[step] for step in range(4, 13)] == [losses(whole)[step] for step in range(4, 13)]
    assert weights_sha256(again) == weights_sha256(whole)


def test_there_are_never_two_at_a_time(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, PLAN)
    disk = SlowDisk(monkeypatch)
    at_step(monkeypatch, 6, lambda: threading.Timer(0.5, disk.let_go).start())
    train_here(PLAN, tokens, run_dir, place)
    first, second, *_ = events_of(run_dir, "checkpoint")
    # That of step 6 waited for it; what it waited is told of the one that was waited for.
    assert first["stall_s"] > 0.3
    assert first["write_s"] > first["stall_s"]
    assert second["stall_s"] < first["stall_s"]
    order = [event["step"] for event in events_of(run_dir, "checkpoint")]
    assert order == [3, 6, 9, 12]


def test_a_stop_waits_for_what_is_being_written(
    tmp_path: Path, tokens: Path, place: Place, quiet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, PLAN)
    with monkeypatch.context() as patch:
        disk = SlowDisk(patch)
        stop_after(patch, run_dir, 4)
        threading.Timer(0.5, disk.let_go).start()
        train_here(PLAN, tokens, run_dir, place)
    assert checkpoint_steps(run_dir / "checkpoints") == [4, 3]
    train_here(PLAN, tokens, run_dir, place)
    assert (losses(run_dir), weights_sha256(run_dir)) == (losses(quiet), weights_sha256(quiet))


def test_a_disk_that_fills_in_the_background_stops_the_training_with_its_line(
    tmp_path: Path, tokens: Path, place: Place, quiet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, PLAN)

    def full(fragments: Any, folder: Path, rank: int, first_number: int) -> list[Shard]:
        if "step-00000006" in str(folder):
            (folder / f"rank{rank:05d}-00000.safetensors").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_shards(fragments, folder, rank, first_number)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_saving, "write_shards", full)
        with pytest.raises(
            StageError,
            match=r"^train: the checkpoint of step 6 could not be written to .* \(No space left on device\): "
            r"is the disk full\?; earlier checkpoints are intact$",
        ):
            train_here(PLAN, tokens, run_dir, place)
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step-00000003"]
    assert max(losses(run_dir)) < 12
    train_here(PLAN, tokens, run_dir, place)
    assert (losses(run_dir), weights_sha256(run_dir)) == (losses(quiet), weights_sha256(quiet))


FULL_FOR_ONE = """
import errno, os, sys
from pathlib import Path
import torch
from forge.engine import checkpoint_saving
from forge.engine.distributed import join
from forge.engine.shards import write_shards
from forge.errors import StageError
from forge.plan.types import load_plan
from tests.engine.runs import train_here

def full(fragments, folder, rank, first_number):
    if rank == 1 and "step-00000006" in str(folder):
        raise OSError(errno.ENOSPC, "No space left on device")
    return write_shards(fragments, folder, rank, first_number)

checkpoint_saving.write_shards = full
meeting, tokens, run_dir, rank = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
plan = load_plan(run_dir / "plan.json")
torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
place = join(plan.layout)
try:
    train_here(plan, tokens, run_dir, place)
except StageError as error:
    print(error, flush=True)
os._exit(0)
"""


@pytest.mark.soak
def test_what_one_rank_cannot_write_stops_all_of_them_with_its_line(tmp_path: Path, tokens: Path) -> None:
    layout = {"processes_per_node": 2, "micro_batch_sequences": 2, "zero_stage": 2}
    plan = tiny_plan(layout=layout, schedule={"steps": 400, "checkpoint_every_steps": 3})
    run_dir = make_run(tmp_path, plan)
    meeting = (tmp_path / "store").as_uri()
    command = [sys.executable, "-c", FULL_FOR_ONE, meeting, str(tokens), str(run_dir)]
    ranks = [subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True) for rank in range(2)]
    said = [rank.communicate(timeout=300)[0] for rank in ranks]
    assert said[0] == said[1]
    assert said[0].startswith("train: the checkpoint of step 6 could not be written to ")
    assert [path.name for path in (run_dir / "checkpoints").iterdir()] == ["step-00000003"]
    assert max(losses(run_dir)) < 400


def test_where_memory_holds_no_copy_training_waits_and_saves_the_same(
    tmp_path: Path, tokens: Path, place: Place, quiet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, PLAN)
    copies: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_saving, "available_memory_bytes", lambda: 0)
        patch.setattr(checkpoint_saving, "host_copy", lambda owned: copies.append(1))
        stop_after(patch, run_dir, 7)
        train_here(PLAN, tokens, run_dir, place)
    assert not copies
    assert checkpoint_steps(run_dir / "checkpoints") == [7, 6, 3]
    train_here(PLAN, tokens, run_dir, place)
    assert (losses(run_dir), weights_sha256(run_dir)) == (losses(quiet), weights_sha256(quiet))


def test_what_is_saved_when_another_error_comes_is_dropped_and_never_half_there(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, PLAN)

    def fail() -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        disk = SlowDisk(patch, number=1)
        at_step(patch, 8, fail)
        with pytest.raises(RuntimeError, match="a bug"):
            train_here(PLAN, tokens, run_dir, place)
        assert checkpoint_steps(run_dir / "checkpoints") == [3]
        disk.let_go()
