"""The processes of a training, or of its reference: torchrun and, under it, one worker a device. Started, waited for,
ended."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from forge.engine.failures import failures_file, launcher_log
from forge.engine.heartbeat import STACKS_SIGNAL, read_beats
from forge.engine.hosts import Cluster
from forge.engine.launcher import FAILURES_VARIABLE, MASTER_VARIABLE, PARENT_VARIABLE
from forge.errors import StageError
from forge.plan.types import Plan

_POLL_S = 0.2
_STACKS_WAIT_S = 1.0
_PEERS_WAIT_S = 10.0

_SHELL_FAILED = 255
"""What ssh ends with when it, and not the command, failed."""

_TAKEN_ALONG = ("PYTHON", "LD_LIBRARY_PATH", "CUDA_", "NCCL_", "GLOO_", "UCX_", "TORCH_")
"""Beginnings of the environment variables that machines elsewhere are given too."""

_OF_ONE_MACHINE = "CUDA_VISIBLE_DEVICES"
"""Which of its GPUs are free: another machine, or the scheduler there, says so of its own."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the workers are started for."""

    plan: Plan
    plan_path: Path
    tokens: Path
    run_dir: Path
    out: Path
    cluster: Cluster | None = None
    """None where all workers are on this machine."""
    stage: Literal["train", "reference"] = "train"
    """What they do."""
    reference: Path | None = None
    """The reference artifact, where preferences are trained on."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The launchers of a training, one a machine; the first is on this one."""

    launchers: tuple[subprocess.Popen[bytes], ...]

    @property
    def returncode(self) -> int | None:
        """0 when all went well, that of the first that did not, None before the end."""
        codes = [launcher.poll() for launcher in self.launchers]
        return next((code for code in codes if code), None if None in codes else 0)


def launch_command(job: Job, node: int = 0, port: int = 0) -> list[str]:
    """Return the command that starts torchrun on one machine and, under it, one worker a device."""
    layout = job.plan.layout
    # On one machine no host name is looked up that may not resolve.
    meeting = ["--standalone", "--nnodes=1", "--local-addr=127.0.0.1"]
    if job.cluster is not None:
        master = job.cluster.hosts[0].name
        meeting = [f"--nnodes={layout.nodes}", f"--node-rank={node}", "--rdzv-backend=static"]
        meeting += [f"--master-addr={master}", f"--master-port={port}"]
    return [
        *(sys.executable, "-m", "forge.engine.launcher", *meeting),
        *(f"--nproc-per-node={layout.processes_per_node}", "--max-restarts=0"),
        *("-m", "forge.engine", "--plan", str(job.plan_path), "--tokens", str(job.tokens)),
        *("--run-dir", str(job.run_dir), "--out", str(job.out), "--stage", job.stage),
        *(("--reference", str(job.reference)) if job.reference is not None else ()),
    ]


def launch_environment(job: Job, node: int = 0) -> dict[str, str]:
    """Return what launcher and workers find in the environment: fixed threads, how they meet, no hub."""
    environment = {
        "OMP_NUM_THREADS": str(job.plan.layout.threads_per_process),
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads cost ten times the speed on a shared machine
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        FAILURES_VARIABLE: str(failures_file(job.run_dir / "logs", node)),
        "FORGE_LAUNCHED_AT_S": repr(time.time()),
    }
    if node == 0:
        environment[PARENT_VARIABLE] = str(os.getpid())
    if job.plan.layout.device == "cpu":
        environment["DS_ACCELERATOR"] = "cpu"
    if job.cluster is not None:
        environment[MASTER_VARIABLE] = job.cluster.hosts[0].name
    elif sys.platform == "linux":
        environment |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return environment


def start(job: Job) -> Workers:
    """Start launchers and workers, in sessions of their own: Ctrl-C on the terminal reaches forge-run only.

    Raises:
        OSError: the remote shell is not there.
    """
    if job.cluster is None:
        return Workers((_start(job, launch_command(job), 0),))
    port = _free_port()
    launchers = [_start(job, launch_command(job, 0, port), 0)]
    try:
        for node, host in enumerate(job.cluster.hosts[1 : job.plan.layout.nodes], 1):
            there = _command_there(launch_command(job, node, port), launch_environment(job, node))
            launchers.append(_start(job, [*job.cluster.remote_shell, host.name, there], node))
    except OSError:
        kill(Workers(tuple(launchers)))
        raise
    return Workers(tuple(launchers))


def _start(job: Job, command: list[str], node: int) -> subprocess.Popen[bytes]:
    with launcher_log(job.run_dir / "logs", node).open("ab") as log:
        return subprocess.Popen(
            command,
            env=dict(os.environ) | (launch_environment(job) if node == 0 else {}),
            # A launcher elsewhere dies with its input, which ends with this process or with `kill`.
            stdin=subprocess.PIPE if node else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _command_there(command: list[str], environment: dict[str, str]) -> str:
    """Return `command` for a shell of another machine: same folder, and of this environment what concerns training."""
    taken = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_TAKEN_ALONG) and name != _OF_ONE_MACHINE
    }
    words = ["env", *(f"{name}={value}" for name, value in (taken | environment).items()), *command]
    return f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(words)}"


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


def ended(workers: Workers) -> bool:
    """Wait a moment and return whether the launchers have ended, all or, after some patience, one that failed."""
    unfinished = next((launcher for launcher in workers.launchers if launcher.poll() is None), None)
    if unfinished is None:
        return True
    with contextlib.suppress(subprocess.TimeoutExpired):
        unfinished.wait(timeout=_POLL_S)
    codes = [launcher.poll() for launcher in workers.launchers]
    if None not in codes:
        return True
    if not any(codes):
        return False
    # The others are losing a peer: they say so and end, unless they hang.
    give_up_s = time.monotonic() + _PEERS_WAIT_S
    while time.monotonic() < give_up_s and None in [launcher.poll() for launcher in workers.launchers]:
        time.sleep(_POLL_S)
    kill(workers)
    return True


def kill(workers: Workers) -> None:
    """End launchers and workers now: on Linux the workers die with the launcher, elsewhere it ends them itself."""
    for launcher in workers.launchers:
        if launcher.stdin is not None:
            launcher.stdin.close()
        if launcher.poll() is None:
            if sys.platform == "linux":
                launcher.kill()
            else:
                launcher.terminate()
    for launcher in workers.launchers:
        launcher.wait()


def unreachable(job: Job, workers: Workers) -> str | None:
    """Return a line about a machine that the remote shell could not reach, None where there is none."""
    if job.cluster is None:
        return None
    for node, (host, launcher) in enumerate(zip(job.cluster.hosts, workers.launchers, strict=False)):
        if node and launcher.poll() == _SHELL_FAILED:
            said = (
                launcher_log(job.run_dir / "logs", node)
                .read_text(encoding="utf-8", errors="replace")
                .split("\n")
            )
            last = next((line for line in reversed(said) if line.strip()), "no message")
            return f"train: {host.name} can't be reached with `{shlex.join(job.cluster.remote_shell)}` ({last.strip()})"
    return None


def dump_stacks(logs: Path, here: int) -> None:
    """Have each worker of this machine, the first `here` ranks, write the stacks of its threads to its log.

    One that is stopped can't.
    """
    for rank, beat in read_beats(logs).items():
        if rank >= here:
            continue
        with contextlib.suppress(OSError):
            os.kill(beat["pid"], STACKS_SIGNAL)
    time.sleep(_STACKS_WAIT_S)


def check_loopback() -> None:
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
