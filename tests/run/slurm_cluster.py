"""A cluster of one node: Slurm's own daemons on this machine, in a folder of their own, for as long as a test runs."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CORES = 3
"""Of the node, whatever the machine has: as many runs of one core are at work at a time."""

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "squeue", "sinfo")

CONFIGURATION = """\
ClusterName=forge
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=65536
PartitionName=all Nodes=n1 Default=YES MaxTime=INFINITE State=UP
"""
# cred_expire: a job that was put back into the queue waits as long as a credential is good, two minutes otherwise.


def what_is_missing() -> str:
    """Return why no cluster can be started here; '' where one can."""
    missing = [name for name in (*DAEMONS, *COMMANDS) if _found(name) is None]
    if missing:
        return f"{', '.join(missing)}: not on this machine: apt install slurm-wlm munge"
    return "" if os.getuid() == 0 else "slurmd runs jobs as their users, and so as root"


def _found(name: str) -> str | None:
    """Return a program; daemons are not on everybody's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


@contextlib.contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """Run a cluster; yield the environment in which its commands find it, and end it with all its jobs."""
    # Not below a folder that only its owner may enter, and with a short name: munge has a socket there.
    with (
        tempfile.TemporaryDirectory(prefix="forge-slurm-", dir="/tmp") as name,
        contextlib.ExitStack() as at_end,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        configuration = folder / "slurm.conf"
        controller_port, node_port = _free_ports(2)
        configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname(),
                user="root",
                folder=folder,
                controller_port=controller_port,
                node_port=node_port,
                cores=CORES,
            )
        )
        environment = os.environ | {"SLURM_CONF": str(configuration)}

        def start(program: str, *arguments: str) -> None:
            with (folder / f"{program}.log").open("wb") as log:
                daemon = subprocess.Popen(
                    [str(_found(program)), *arguments], stdout=log, stderr=log, env=environment
                )
            at_end.callback(_end, daemon)

        # No daemon goes into the background, so that each can be ended by its own number.
        start(
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        start("slurmctld", "-D")
        start("slurmd", "-D", "-N", "n1")
        _wait_for(lambda: _asked(environment, "sinfo", "--noheader", "--format=%t") == "idle", folder)
        try:
            yield environment
        finally:
            _asked(environment, "scancel", "--me")
            with contextlib.suppress(TimeoutError):
                wait_until_empty(environment, 60)


def wait_until_empty(environment: dict[str, str], patience_s: float) -> None:
    """Wait until no job is in the queue.

    Raises:
        TimeoutError: one still is.
    """
    give_up_s = time.monotonic() + patience_s
    while _asked(environment, "squeue", "--noheader"):
        if time.monotonic() > give_up_s:
            raise TimeoutError(_asked(environment, "squeue"))
        time.sleep(0.5)


def _asked(environment: dict[str, str], *command: str) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def _wait_for(is_so: Callable[[], bool], folder: Path) -> None:
    give_up_s = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > give_up_s:
            raise TimeoutError("".join(log.read_text() for log in folder.glob("*.log")))
        time.sleep(0.1)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
