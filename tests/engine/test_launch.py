"""Real launches: two workers under torchrun, killed, stopped, cut off from the network, and going on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.engine.checkpoint_folder import checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.heartbeat import Patience
from forge.engine.launch import Limits, run_training
from forge.engine.processes import Job, launch_environment
from forge.errors import Interrupted, SpecError, StageError
from forge.plan.types import Plan, load_plan
from forge.progress import SilentProgress
from tests.engine.runs import events_of, losses, make_run, train_here, training, weights_sha256
from tests.factories import tiny_plan

STEPS = 300
PAIR: dict[str, Any] = {
    "processes_per_node": 2,
    "micro_batch_sequences": 2,
    "zero_stage": 2,
    "precision": "bf16",
}
LONG = {"steps": STEPS, "checkpoint_every_steps": 50}

# What this test's own forge-run is: the launch, in a process that can be killed.
PARENT = """
import sys
from pathlib import Path
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.plan.types import load_plan
from forge.progress import SilentProgress
tokens, run_dir = Path(sys.argv[1]), Path(sys.argv[2])
plan = load_plan(run_dir / "plan.json")
run_training(Job(plan, run_dir / "plan.json", tokens, run_dir, run_dir.parent / "out"), SilentProgress())
"""


class Meddler(SilentProgress):
    """Does something once, when training has reached a step."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self.step, self.act = step, act
        self.then: tuple[int, Callable[[], None]] | None = None
        self.total = self.done = 0.0
        self.lines: list[str] = []

    def start(self, total: float, unit: str) -> None:
        assert unit == "steps"
        self.total = total

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount
        if self.step and self.done >= self.step:
            act = self.act
            self.step, self.act = self.then or (0, act)
            self.then = None
            act()

    def note(self, line: str) -> None:
        self.lines.append(line)


def launch(
    run_dir: Path, tokens: Path, progress: SilentProgress | None = None, limits: Limits | None = None
) -> dict[str, object]:
    plan = load_plan(run_dir / "plan.json")
    out = run_dir.parent / "out"
    job = Job(plan, run_dir / "plan.json", tokens, run_dir, out)
    return run_training(job, progress or SilentProgress(), limits)


def processes(run_dir: Path) -> list[Path]:
    """Return the /proc folders of the living processes of a run: launcher and workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(run_dir).encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(folder)
    return found


def workers(run_dir: Path) -> dict[int, int]:
    """Return {rank: process id} of the living workers of a run, and of nothing else."""
    found = {}
    for folder in processes(run_dir):
        with contextlib.suppress(OSError):
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                if variable.startswith(b"RANK="):
                    found[int(variable[5:])] = int(folder.name)
    return found


def kill_rank(run_dir: Path, rank: int) -> None:
    os.kill(workers(run_dir)[rank], signal.SIGKILL)


class Terminated(KeyboardInterrupt):
    """What the command line makes of SIGTERM."""


def interrupt() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    raise Terminated


@pytest.mark.soak
def test_two_workers_killed_stopped_and_resumed_end_as_if_nothing_had_happened(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = tiny_plan(layout=PAIR, schedule=LONG)
    quiet = make_run(tmp_path / "quiet", plan)
    summary = launch(quiet, tokens)
    assert summary == training(quiet)
    assert (summary["steps"], summary["world_size"]) == (STEPS, 2)

    # One process reads the same sequences; its sums have another order.
    alone = tiny_plan(layout=PAIR | {"processes_per_node": 1, "micro_batch_sequences": 4}, schedule=LONG)
    single = make_run(tmp_path / "single", alone)
    train_here(alone, tokens, single, place)
    first = range(1, 11)
    assert [losses(quiet)[s] for s in first] == pytest.approx([losses(single)[s] for s in first], abs=4e-3)
    assert losses(quiet)[STEPS] == pytest.approx(losses(single)[STEPS], abs=0.05)

    # A killed worker is replaced without a word from the user; a request to stop is heeded.
    rough = make_run(tmp_path / "rough", plan)
    killer = Meddler(60, lambda: kill_rank(rough, 1))
    killer.then = (200, terminate)
    with pytest.raises(Interrupted, match=rf"stopped at step \d+ of {STEPS}, checkpoint written") as stopped:
        launch(rough, tokens, killer)
    assert stopped.value.exit_code == 143
    (again,) = (line for line in killer.lines if "starting again" in line)
    assert again.startswith(
        "train: rank 1 was killed by signal 9 (out of memory?): starting again from step "
    )
    assert again.endswith("(1 of 3)")
    saved = int(again.split("from step ")[1].split()[0])
    assert 50 <= saved < 200
    assert f"train: going on from the checkpoint of step {saved}" in killer.lines
    stop_step = checkpoint_steps(rough / "checkpoints")[0]
    assert 200 <= stop_step < STEPS
    assert f"step {stop_step} of" in stopped.value.lines[0]
    assert not workers(rough)
    assert not (tmp_path / "rough" / "out" / "training.json").exists()
    assert not (rough / "stop").exists()

    counter = Meddler(0, interrupt)
    launch(rough, tokens, counter)
    assert (counter.total, counter.done) == (STEPS, STEPS)
    assert [start["resumed_from"] for start in events_of(rough, "train_start")] == [None, saved, stop_step]
    assert losses(rough) == losses(quiet)
    assert weights_sha256(rough) == weights_sha256(quiet)


@pytest.fixture
def cut_off() -> list[str]:
    """A command prefix: no network but loopback, and a host name that does not resolve."""
    script = 'ip link set lo up && hostname nowhere.invalid && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "--net", "--uts", "sh", "-c", script, "sh"]
    probe = [*prefix, "true"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("this machine lets no user make a network namespace")
    return prefix


@pytest.mark.soak
def test_a_killed_parent_leaves_no_worker_and_the_same_command_goes_on_without_network_or_compiler(
    tmp_path: Path, tokens: Path, place: Place, cut_off: list[str]
) -> None:
    layout: dict[str, Any] = {"processes_per_node": 2, "micro_batch_sequences": 2, "zero_stage": 3}
    plan = tiny_plan(layout=layout, schedule=LONG)
    run_dir = make_run(tmp_path / "run", plan)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "ip", "hostname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    environment = os.environ | {"PATH": str(tools), "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions")}
    unshare = str(shutil.which("unshare"))
    command = [unshare, *cut_off[1:], sys.executable, "-c", PARENT, str(tokens), str(run_dir)]

    parent = subprocess.Popen(command, env=environment, cwd=Path.cwd())
    try:
        wait_for(lambda: 50 in checkpoint_steps(run_dir / "checkpoints") or parent.poll() is not None)
        assert set(workers(run_dir)) == {0, 1}
        assert len(processes(run_dir)) == 4
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not processes(run_dir), patience_s=60)
    assert max(losses(run_dir)) < STEPS

    subprocess.run(command, env=environment, cwd=Path.cwd(), check=True)
    assert len(events_of(run_dir, "train_start")) == 2
    assert events_of(run_dir, "train_start")[1]["resumed_from"] >= 50
    assert not (tmp_path / "extensions").exists()

    alone = tiny_plan(layout=layout | {"processes_per_node": 1, "micro_batch_sequences": 4}, schedule=LONG)
    single = make_run(tmp_path / "single", alone)
    train_here(alone, tokens, single, place)
    assert list(losses(run_dir).values())[:50] == pytest.approx(list(losses(single).values())[:50], abs=1e-4)


class Impatient(Meddler):
    """Interrupts a second time as soon as it is told that the first was heard."""

    def note(self, line: str) -> None:
        if "interrupt again" in line:
            raise KeyboardInterrupt


def test_a_second_interrupt_stops_at_once(tmp_path: Path, tokens: Path) -> None:
    run_dir = make_run(
        tmp_path, tiny_plan(schedule={"steps": 1_000_000, "checkpoint_every_steps": 1_000_000})
    )
    with pytest.raises(Interrupted, match=r"stopped at step \d+ of 1000000, at once") as stopped:
        launch(run_dir, tokens, Impatient(1, interrupt))
    assert stopped.value.exit_code == 130
    wait_for(lambda: not processes(run_dir), patience_s=60)


def test_a_disk_that_fills_is_named_and_the_checkpoint_before_is_kept(tmp_path: Path, tokens: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = [*own, "mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("this machine lets no user mount a small disk")
    make_run(tmp_path / "made", tiny_plan())
    # Large enough for one checkpoint.
    script = 'mount -t tmpfs -o size=470k tmpfs "$1" && cp -r "$2"/run "$2"/out "$1" && shift 2 && exec "$@"'
    parent = f"""
from forge.errors import StageError
try:
{textwrap.indent(PARENT, "    ")}
except StageError as error:
    print(error)
print("left:", [path.name for path in (run_dir / "checkpoints").iterdir()])
"""
    done = subprocess.run(
        [
            *(*own, "sh", "-c", script, "sh", str(disk), str(tmp_path / "made")),
            *(sys.executable, "-c", parent, str(tokens), str(disk / "run")),
        ],
        capture_output=True,
        text=True,
    )
    assert "train: the checkpoint of step 6 needs " in done.stdout, done
    assert "free some space" in done.stdout
    assert "left: ['step-00000003']" in done.stdout


def test_a_worker_that_fails_says_so_in_the_parent(tmp_path: Path, tokens: Path) -> None:
    plan = tiny_plan(deepspeed={"zero_optimization": {"stage": 7}})
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(StageError, match=r"^train: rank 0 failed: .*: see .*/rank0\.log; .* from step 0$"):
        launch(run_dir, tokens)
    assert "Traceback" in (run_dir / "logs" / "rank0.log").read_text()


@pytest.mark.soak
def test_workers_that_hang_leave_their_stacks_and_are_started_again(tmp_path: Path, tokens: Path) -> None:
    layout = {"processes_per_node": 2, "micro_batch_sequences": 2}
    plan = tiny_plan(layout=layout, schedule={"steps": 120, "checkpoint_every_steps": 20})
    run_dir = make_run(tmp_path, plan)
    freezer = Meddler(30, lambda: os.kill(workers(run_dir)[1], signal.SIGSTOP))
    launch(run_dir, tokens, freezer, Limits(patience=Patience(at_least_s=8.0)))
    (again,) = (line for line in freezer.lines if "starting again" in line)
    assert "hangs: nothing for " in again
    assert "in _one_step" in (run_dir / "logs" / "rank0.log").read_text()
    assert [event["number"] for event in events_of(run_dir, "restart")] == [1]
    assert set(losses(run_dir)) == set(range(1, 121))


def test_workers_that_are_told_to_stop_by_a_scheduler_write_a_checkpoint(
    tmp_path: Path, tokens: Path
) -> None:
    plan = tiny_plan(schedule={"steps": 100_000, "checkpoint_every_steps": 100_000})
    run_dir = make_run(tmp_path, plan)

    def tell_all() -> None:
        for folder in processes(run_dir):
            os.kill(int(folder.name), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"stopped at step \d+ of 100000, checkpoint written") as stopped:
        launch(run_dir, tokens, Meddler(5, tell_all))
    assert stopped.value.exit_code == 143
    assert checkpoint_steps(run_dir / "checkpoints")[0] >= 5


@pytest.mark.soak
def test_a_failure_that_comes_back_is_given_up(tmp_path: Path, tokens: Path) -> None:
    plan = tiny_plan(schedule={"steps": 100_000, "checkpoint_every_steps": 100_000})
    run_dir = make_run(tmp_path, plan)

    class Killer(SilentProgress):
        def status(self, text: str) -> None:
            with contextlib.suppress(KeyError):
                kill_rank(run_dir, 0)

    with pytest.raises(
        StageError, match=r"rank 0 was killed by signal 9 .*; the same command goes on from step 0"
    ):
        launch(run_dir, tokens, Killer(), Limits(restarts=1))
    assert len(events_of(run_dir, "restart")) == 1


def test_a_plan_for_several_machines_wants_their_names(tmp_path: Path, tokens: Path) -> None:
    run_dir = make_run(tmp_path, tiny_plan(layout={"nodes": 2}))
    with pytest.raises(SpecError, match="runs on 2 machines: name them with hostfile=FILE"):
        launch(run_dir, tokens)


def test_loopback_being_down_is_said_before_anything_starts(
    tmp_path: Path, tokens: Path, cut_off: list[str]
) -> None:
    run_dir = make_run(tmp_path, tiny_plan())
    down = [str(shutil.which("unshare")), "--user", "--map-root-user", "--net"]
    done = subprocess.run(
        [*down, sys.executable, "-c", PARENT, str(tokens), str(run_dir)], capture_output=True, text=True
    )
    assert "train: 127.0.0.1 can't be reached (Network is unreachable): bring the loopback" in done.stderr
    assert not (run_dir / "logs").exists()


def test_the_parent_needs_no_heavy_library() -> None:
    check = "import sys, forge.engine.launch; sys.exit(any(m in sys.modules for m in ('torch', 'deepspeed', 'numpy')))"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_workers_are_told_to_stay_off_the_hub_and_to_keep_their_threads(tmp_path: Path) -> None:
    plan: Plan = tiny_plan(layout={"threads_per_process": 3})
    environment = launch_environment(Job(plan, tmp_path, tmp_path, tmp_path, tmp_path))
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert json.loads(environment["FORGE_PARENT_PID"]) == os.getpid()


def wait_for(condition: Callable[[], object], patience_s: float = 300.0) -> None:
    give_up = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)
