"""What starts when, and what becomes of each run: real processes that do next to nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forge.errors import Interrupted
from forge.locks import take_lock
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Outcome, Point
from forge.run.sweep.processes import is_elsewhere
from tests.run.sweep.quick import carry, make_quick, point, slots


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    make_quick(monkeypatch)


def statuses(state: State) -> list[str]:
    return [state.outcome(each.number).status for each in state.points]


def soon(what: Path) -> list[str]:
    """Wait for a file and return its lines."""
    while not what.exists():
        time.sleep(0.02)
    return what.read_text().splitlines()


def test_each_run_has_a_process_of_its_own_and_shared_data_is_made_once(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    points = [point(number, tmp_path, {"stage": "train", "do": "", "file": str(pids)}) for number in (1, 2)]
    state = carry(points, slots(tmp_path))
    assert statuses(state) == ["done", "done"]
    assert len({line.split()[0] for line in pids.read_text().splitlines()} - {str(os.getpid())}) == 2
    made = sorted(path.name.split("-")[0] for path in (tmp_path / "artifacts").iterdir())
    assert made.count("lake") == made.count("tokens") == 1
    assert made.count("train") == 2
    assert [path.name for path in (tmp_path / "sweeps" / "slots").iterdir()] == ["cpu-0.lock"]

    pids.unlink()
    assert statuses(carry(points, slots(tmp_path))) == ["done", "done"]
    assert not pids.exists()


def test_one_that_fails_or_dies_does_not_stop_the_rest_and_is_tried_again(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    points = [
        point(1, tmp_path, {"stage": "train", "do": "fail", "until": str(mended)}),
        point(2, tmp_path, {"stage": "train", "do": "die"}),
        point(3, tmp_path),
    ]
    said: list[str] = []
    state = carry(points, slots(tmp_path), said)
    assert state.outcomes == {
        1: Outcome("failed", ("train: it does not learn: use another learning rate",)),
        2: Outcome("failed", ("its process was killed by signal 9 (out of memory?)",)),
        3: Outcome("done"),
    }
    assert "run 1 (seed=1): failed: train: it does not learn: use another learning rate" in said
    assert "it does not learn" in points[0].log.read_text()
    mended.touch()
    again: list[str] = []
    assert statuses(carry(points, slots(tmp_path), again)) == ["done", "failed", "done"]
    assert not any(line.startswith("run 3") for line in again)


def test_equal_plans_run_once(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    first = point(1, tmp_path, {"stage": "train", "do": "", "file": str(pids)})
    same = Point(2, first.overrides, first.differs, first.plan, tmp_path)
    assert statuses(carry([first, same], slots(tmp_path))) == ["done", "done"]
    assert len(pids.read_text().splitlines()) == 1


def test_small_runs_stand_side_by_side_each_on_gpus_of_its_own(tmp_path: Path) -> None:
    layout = {"device": "cuda", "processes_per_node": 1}
    went = [tmp_path / f"at{number}" for number in range(3)]
    leave = tmp_path / "leave"
    points = [
        point(
            number,
            tmp_path,
            {"stage": "train", "do": "wait", "file": str(went[number]), "until": str(leave)},
            layout,
            shares=False,
        )
        for number in range(3)
    ]

    def watch() -> None:
        for file in went[:2]:
            soon(file)
        overtaken.append(went[2].exists())
        leave.touch()

    overtaken: list[bool] = []
    watcher = threading.Thread(target=watch)
    watcher.start()
    assert statuses(carry(points, slots(tmp_path, ("4", "7")))) == ["done"] * 3
    watcher.join()
    assert overtaken == [False]
    assert [soon(file)[0].split()[1] for file in went[:2]] == ["4", "7"]


def test_one_that_needs_all_gpus_is_not_confined(tmp_path: Path) -> None:
    place = slots(tmp_path, ("0", "1"))
    whole = place.take(point(1, tmp_path, layout={"device": "cuda", "processes_per_node": 2}).plan.layout)
    assert whole is not None
    assert whole.environment == {}
    assert place.take(point(1, tmp_path, layout={"device": "cuda"}).plan.layout) is None
    whole.close()
    one = place.take(point(1, tmp_path, layout={"device": "cuda"}).plan.layout)
    assert one is not None
    assert one.environment == {"CUDA_VISIBLE_DEVICES": "0"}
    one.close()


def test_a_run_waits_until_what_it_shares_with_another_is_made(tmp_path: Path) -> None:
    began, leave, other = tmp_path / "began", tmp_path / "leave", tmp_path / "other"
    points = [
        point(1, tmp_path, {"stage": "tokens", "do": "wait", "file": str(began), "until": str(leave)}),
        point(2, tmp_path, {"stage": "train", "do": "", "file": str(other)}),
    ]
    early: list[bool] = []

    def watch() -> None:
        soon(began)
        time.sleep(0.5)  # in which the other would start, were it not held back
        early.append(points[1].log.exists())
        leave.touch()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert statuses(carry(points, slots(tmp_path, parallel_runs=2))) == ["done", "done"]
    watcher.join()
    assert early == [False]


def test_a_run_that_another_process_carries_out_is_waited_for_and_its_result_taken(tmp_path: Path) -> None:
    mine = point(1, tmp_path)
    leave, began = tmp_path / "leave", tmp_path / "began"
    slow = point(2, tmp_path, {"stage": "train", "do": "wait", "file": str(began), "until": str(leave)})
    carry([mine], slots(tmp_path))
    slow.log.parent.mkdir(parents=True)
    from forge.plan.types import plan_to_json
    from tests.run.sweep.quick import command

    (slow.run_dir / "plan.json").write_text(plan_to_json(slow.plan))
    orphan = subprocess.Popen(command(slow, None), start_new_session=True)
    soon(began)
    assert is_elsewhere(slow)
    said: list[str] = []

    def say_and_let_go(line: str) -> None:
        said.append(line)
        leave.touch()

    class Said(list[str]):
        def append(self, line: str) -> None:
            say_and_let_go(line)

    state = carry([mine, slow], slots(tmp_path), Said())
    assert statuses(state) == ["done", "done"]
    assert said == [
        "run 2 (seed=2): is being carried out by another forge-run: waiting for it",
        "run 2 (seed=2): done by another forge-run",
    ]
    assert orphan.wait() == 0
    assert began.read_text().splitlines() == [f"{orphan.pid} "]


def test_places_stay_taken_as_long_as_the_run_lives_that_has_them(tmp_path: Path) -> None:
    place = slots(tmp_path)
    layout = point(1, tmp_path).plan.layout
    held = place.take(layout)
    assert held is not None
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=held.descriptors
    )
    held.close()
    assert place.take(layout) is None
    child.kill()
    child.wait()
    freed = place.take(layout)
    assert freed is not None
    freed.close()


def test_an_interrupt_stops_runs_so_that_they_go_on(tmp_path: Path) -> None:
    began, leave = tmp_path / "began", tmp_path / "leave"
    points = [
        point(1, tmp_path, {"stage": "train", "do": "wait", "file": str(began), "until": str(leave)}),
        point(2, tmp_path),
    ]

    def interrupt() -> None:
        soon(began)
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    state = State([*points])
    with pytest.raises(Interrupted) as caught:
        carry(state.points, slots(tmp_path))
    interrupter.join()
    assert caught.value.exit_code == 130
    assert caught.value.lines == ("sweep: stopped with 0 of 2 runs done: the same command goes on",)
    assert not is_elsewhere(points[0])
    assert "train: stopped; what was done before it is kept" in points[0].log.read_text()
    leave.touch()
    assert statuses(carry(points, slots(tmp_path))) == ["done", "done"]


class TwoTrials:
    """Adds two points, and ends the one early whose held-out loss is above 3."""

    width = 1

    def __init__(self, points: list[Point | Infeasible]) -> None:
        self.left = points

    def more(self, outcomes: dict[int, Outcome]) -> Point | Infeasible | None:
        return self.left.pop(0) if self.left else None

    def ends_early(self, point: Point, held_out: dict[int, float]) -> bool:
        return any(loss > 3 for loss in held_out.values())


def test_a_chooser_adds_points_and_ends_them_early(tmp_path: Path) -> None:
    never = str(tmp_path / "never")
    bad = {"stage": "train", "do": "wait", "until": never, "held_out": {"10": 3.5}}
    trials = TwoTrials(
        [point(1, tmp_path, bad), Infeasible(2, (), {}, ("does not fit",)), point(3, tmp_path)]
    )
    said: list[str] = []
    state = carry([], slots(tmp_path), said, trials)
    assert statuses(state) == ["pruned", "infeasible", "done"]
    assert "run 2 does not compile: does not fit" in said
    assert state.outcomes[2].lines == ("does not fit",)


def test_a_lock_that_no_one_holds_says_that_no_one_is_at_work(tmp_path: Path) -> None:
    mine = point(1, tmp_path)
    assert not is_elsewhere(mine)
    mine.run_dir.mkdir(parents=True)
    with take_lock(mine.run_dir / "run.lock", 0):
        assert is_elsewhere(mine)
    assert not is_elsewhere(mine)
