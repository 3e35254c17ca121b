"""The parent's side of training: start the workers, follow them, stop them, and say what became of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from forge.engine.checkpoint_folder import checkpoint_folder, checkpoint_steps
from forge.engine.events import read_events
from forge.engine.failures import FAILURES_FILE, clear_failures, first_failure, launcher_log
from forge.engine.launcher import FAILURES_VARIABLE, PARENT_VARIABLE
from forge.errors import Interrupted, StageError
from forge.plan.types import Plan
from forge.progress import Progress

_POLL_S = 0.2


def run_training(
    plan: Plan, plan_path: Path, tokens: Path, run_dir: Path, out: Path, progress: Progress
) -> dict[str, Any]:
    """Train `plan` on `tokens`, going on from the newest checkpoint in `run_dir`; return what training.json holds.

    A KeyboardInterrupt asks the workers to write a checkpoint and end; a second one kills them.

    Raises:
        StageError: the workers failed; the line says which one, why, where its log is and how to go on.
        Interrupted: a KeyboardInterrupt came; the same command goes on.
    """
    if plan.layout.nodes != 1:
        raise StageError(
            f"train: the plan is for {plan.layout.nodes} nodes: training runs on one node at present"
        )
    _check_loopback()
    logs = run_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    clear_failures(logs)
    (run_dir / "stop").unlink(missing_ok=True)
    follower = _Follower(plan, run_dir / "events.jsonl", progress)
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _start(plan, plan_path, tokens, run_dir, out)
        while not _ended(process):
            follower.look()
    except KeyboardInterrupt as interrupt:
        raise _stop(process, run_dir, plan, interrupt, follower) from None
    finally:
        if process is not None and process.poll() is None:
            _kill(process)
        (run_dir / "stop").unlink(missing_ok=True)
    follower.look()
    if process.returncode != 0 or not (out / "training.json").exists():
        raise _failure(run_dir)
    summary: dict[str, Any] = json.loads((out / "training.json").read_text(encoding="utf-8"))
    return summary


def launch_command(plan: Plan, plan_path: Path, tokens: Path, run_dir: Path, out: Path) -> list[str]:
    """Return the command that starts torchrun and, under it, one worker a device."""
    return [
        *(sys.executable, "-m", "forge.engine.launcher"),
        *("--standalone", "--nnodes=1", f"--nproc-per-node={plan.layout.processes_per_node}"),
        *("--max-restarts=0", "--local-addr=127.0.0.1"),  # no look-up of a host name that may not resolve
        *("-m", "forge.engine", "--plan", str(plan_path), "--tokens", str(tokens)),
        *("--run-dir", str(run_dir), "--out", str(out)),
    ]


def launch_environment(plan: Plan, run_dir: Path) -> dict[str, str]:
    """Return the environment of launcher and workers: this process's, fixed threads, one machine, no hub."""
    environment = dict(os.environ)
    environment |= {
        "OMP_NUM_THREADS": str(plan.layout.threads_per_process),
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads cost ten times the speed on a shared machine
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        PARENT_VARIABLE: str(os.getpid()),
        FAILURES_VARIABLE: str(run_dir / "logs" / FAILURES_FILE),
        "FORGE_LAUNCHED_AT_S": repr(time.time()),
    }
    if plan.layout.device == "cpu":
        environment["DS_ACCELERATOR"] = "cpu"
    if sys.platform == "linux":
        environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return environment


def _start(plan: Plan, plan_path: Path, tokens: Path, run_dir: Path, out: Path) -> subprocess.Popen[bytes]:
    with launcher_log(run_dir / "logs").open("ab") as log:
        return subprocess.Popen(
            launch_command(plan, plan_path, tokens, run_dir, out),
            env=launch_environment(plan, run_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C on the terminal reaches forge-run only
        )


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(
    process: subprocess.Popen[bytes] | None,
    run_dir: Path,
    plan: Plan,
    interrupt: KeyboardInterrupt,
    follower: _Follower,
) -> Interrupted:
    """Ask the workers to end with a checkpoint and wait for it, unless a second interrupt comes."""
    saved = "nothing to save"
    if process is not None:
        (run_dir / "stop").touch()
        try:
            follower.progress.note(
                "train: stopping after this step, with a checkpoint; interrupt again to stop at once"
            )
            while not _ended(process):
                follower.look()
            if process.returncode != 0:
                raise _failure(run_dir)
            saved = "checkpoint written"
        except KeyboardInterrupt:
            _kill(process)
            saved = "at once, later steps are lost"
    step = _saved_step(run_dir)
    # The command line turns SIGTERM into a subclass of KeyboardInterrupt; Ctrl-C is the class itself.
    number = signal.SIGINT if type(interrupt) is KeyboardInterrupt else signal.SIGTERM
    return Interrupted(
        number, f"train: stopped at step {step} of {plan.schedule.steps}, {saved}: the same command goes on"
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End launcher and workers now: on Linux the workers die with the launcher, elsewhere it ends them itself."""
    if sys.platform == "linux":
        process.kill()
    else:
        process.terminate()
    process.wait()


def _failure(run_dir: Path) -> StageError:
    line, log = first_failure(run_dir / "logs")
    return StageError(f"{line}: see {log}; the same command goes on from step {_saved_step(run_dir)}")


def _saved_step(run_dir: Path) -> int:
    return next(iter(checkpoint_steps(checkpoint_folder(run_dir))), 0)


def _check_loopback() -> None:
    """Refuse a machine whose processes can't reach each other; the loopback interface is all the network needed."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname(), 5),
        ):
            pass
    except OSError as error:
        raise StageError(
            f"train: 127.0.0.1 can't be reached ({error.strerror or error}): bring the loopback interface up with "
            "`ip link set lo up`"
        ) from None


class _Follower:
    """Reads new lines of events.jsonl and drives the progress bar by them."""

    def __init__(self, plan: Plan, events: Path, progress: Progress) -> None:
        self.progress = progress
        self._events = events
        self._offset_bytes = events.stat().st_size if events.exists() else 0
        self._step = 0
        progress.start(plan.schedule.steps, "steps")

    def look(self) -> None:
        """Take in what was appended since the last look."""
        events, self._offset_bytes = read_events(self._events, self._offset_bytes)
        for event in events:
            if event["event"] == "train_start" and event["resumed_from"] is not None:
                self.progress.note(f"train: going on from the checkpoint of step {event['resumed_from']}")
            if event["event"] in ("train_start", "step") and event["step"] > self._step:
                self.progress.advance(event["step"] - self._step)
                self._step = event["step"]
            if event["event"] == "step":
                self.progress.status(f"loss {event['loss']:.3f}, {event['tokens_per_second']:,.0f} tokens/s")
            if event["event"] == "note":
                self.progress.note(event["line"])
