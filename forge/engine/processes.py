"""The processes of a training: torchrun and, under it, one worker a device. Started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from forge.engine.failures import FAILURES_FILE, launcher_log
from forge.engine.heartbeat import STACKS_SIGNAL, read_beats
from forge.engine.launcher import FAILURES_VARIABLE, PARENT_VARIABLE
from forge.errors import StageError
from forge.plan.types import Plan

_POLL_S = 0.2
_STACKS_WAIT_S = 1.0


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


def start(plan: Plan, plan_path: Path, tokens: Path, run_dir: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start launcher and workers, in a session of their own: Ctrl-C on the terminal reaches forge-run only."""
    with launcher_log(run_dir / "logs").open("ab") as log:
        return subprocess.Popen(
            launch_command(plan, plan_path, tokens, run_dir, out),
            env=launch_environment(plan, run_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment and return whether the launcher has ended."""
    try:
        process.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """End launcher and workers now: on Linux the workers die with the launcher, elsewhere it ends them itself."""
    if sys.platform == "linux":
        process.kill()
    else:
        process.terminate()
    process.wait()


def dump_stacks(logs: Path) -> None:
    """Have each worker write the stacks of its threads to its log; one that is stopped can't."""
    for beat in read_beats(logs).values():
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
