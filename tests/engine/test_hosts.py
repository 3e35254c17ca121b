"""Hostfiles, and a training over two machines that are two network namespaces of this one."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forge.engine.checkpoint_folder import checkpoint_steps
from forge.engine.distributed import Place
from forge.engine.hosts import Host, check_cluster, read_cluster
from forge.engine.interfaces import interface_towards
from forge.engine.processes import _command_there
from forge.errors import SpecError
from tests.engine.runs import events_of, losses, make_run, train_here
from tests.engine.test_launch import processes, wait_for
from tests.factories import tiny_plan

STEPS = 60


def test_a_hostfile_names_machines_and_what_they_take(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("# the rack\nworker-1 slots=8\n\n10.0.0.2  slots=4  # older\nworker-3\n")
    cluster = read_cluster(file, "ssh -o 'BatchMode yes'")
    assert cluster.hosts == (Host("worker-1", 8), Host("10.0.0.2", 4), Host("worker-3", None))
    assert cluster.remote_shell == ("ssh", "-o", "BatchMode yes")


@pytest.mark.parametrize(
    ("text", "shell", "line"),
    [
        ("", "ssh", "{file}: names no machine: write HOST slots=N, one a line"),
        ("a slots=x\n", "ssh", "{file}:1: 'a slots=x' is no machine: write HOST slots=N"),
        ("-oProxyCommand=evil\n", "ssh", "{file}:1: '-oProxyCommand=evil' is no machine: write HOST slots=N"),
        ("a;b slots=1\n", "ssh", "{file}:1: 'a;b slots=1' is no machine: write HOST slots=N"),
        ("a\n#\na slots=2\n", "ssh", "{file}:3: a is named twice: name a machine once"),
        ("a\n", "ssh 'x", 'remote_shell: "ssh \'x" is no command (No closing quotation): close its quotes'),
    ],
)
def test_what_is_no_hostfile_is_said_by_line(text: str, shell: str, line: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_cluster(file, shell)
    assert caught.value.lines == (line.format(file=file),)


def test_a_hostfile_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone: can't be read \(No such file or directory\): name a file of"):
        read_cluster(tmp_path / "gone", "ssh")


def test_machines_must_make_up_the_hardware(tmp_path: Path) -> None:
    layout = tiny_plan(layout={"nodes": 2, "processes_per_node": 2}).layout
    file = tmp_path / "hosts"
    file.write_text("a slots=2\n")
    check_cluster(None, tiny_plan().layout)
    with pytest.raises(SpecError, match="hostfile: names 1 of the 2 machines"):
        check_cluster(read_cluster(file, "ssh"), layout)
    file.write_text("a slots=2\nb slots=1\n")
    with pytest.raises(SpecError, match="hostfile: b takes 1 workers, the plan starts 2 on a machine"):
        check_cluster(read_cluster(file, "ssh"), layout)
    file.write_text("a slots=2\nb\nspare\n")
    check_cluster(read_cluster(file, "ssh"), layout)


def test_the_way_to_oneself_is_the_loopback_interface() -> None:
    assert interface_towards("127.0.0.1") == "lo"


def test_another_machine_says_itself_which_of_its_gpus_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "1")
    # Starts what it is given in an environment of its own, as a server of ssh or Slurm does.
    there = tmp_path / "there"
    there.write_text('#!/bin/sh\nexec env -i PATH="$PATH" CUDA_VISIBLE_DEVICES=0,1 sh -c "$2"\n')
    there.chmod(0o755)
    command = _command_there([sys.executable, "-c", "import os; print(dict(os.environ))"], {"SAID": "yes"})
    found = subprocess.run([str(there), "n2", command], capture_output=True, text=True, check=True).stdout
    environment = ast.literal_eval(found)
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert environment["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"
    assert environment["SAID"] == "yes"


# Two machines, one wire. `there NAME COMMAND` is the remote shell: it enters the namespace of that name.
NETWORK = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
for name in one two; do ip netns add $name; ip -n $name link set lo up; done
ip -n one link add wire type veth peer name wire netns two
ip -n one addr add 10.77.0.1/24 dev wire
ip -n two addr add 10.77.0.2/24 dev wire
ip -n one link set wire up
ip -n two link set wire up
exec nsenter --net=/run/netns/one "$@"
"""
THERE = """#!/bin/sh
test "$1" = 10.77.0.2 || { echo "no way to $1" >&2; exit 255; }
shift
exec nsenter --net=/run/netns/two sh -c "$*"
"""
PARENT = """
import sys
from pathlib import Path
from forge.engine.hosts import read_cluster
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.errors import UserError
from forge.plan.types import load_plan
from forge.progress import SilentProgress
tokens, run_dir, hosts, there = map(Path, sys.argv[1:])
plan = load_plan(run_dir / "plan.json")
job = Job(plan, run_dir / "plan.json", tokens, run_dir, run_dir.parent / "out", read_cluster(hosts, str(there)))
try:
    run_training(job, SilentProgress())
except UserError as error:
    sys.exit(error.lines[0])
"""


@pytest.fixture
def two_machines(tmp_path: Path) -> list[str]:
    """The command that runs another on the first of two machines; skips where namespaces may not be made."""
    tools = [shutil.which(tool) for tool in ("unshare", "nsenter", "ip", "mount")]
    start = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", NETWORK, "network"]
    if None in tools or subprocess.run([*start, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make network namespaces")
    there = tmp_path / "there"
    there.write_text(THERE)
    there.chmod(0o755)
    (tmp_path / "hosts").write_text("10.77.0.1 slots=1\n10.77.0.2 slots=1\n")
    return start


def bare_environment() -> dict[str, str]:
    """This one without what the tests of one machine say of its network."""
    return {name: value for name, value in os.environ.items() if name != "GLOO_SOCKET_IFNAME"}


@pytest.mark.soak
def test_two_machines_train_as_one_and_outlive_a_worker_that_is_killed(
    tmp_path: Path, tokens: Path, place: Place, two_machines: list[str]
) -> None:
    schedule = {"steps": STEPS, "checkpoint_every_steps": 20}
    plan = tiny_plan(layout={"nodes": 2, "micro_batch_sequences": 2, "zero_stage": 2}, schedule=schedule)
    assert plan.layout.world_size == 2
    one = tiny_plan(layout={"zero_stage": 2}, schedule=schedule)
    alone = make_run(tmp_path / "alone", one)
    train_here(one, tokens, alone, place)

    run_dir = make_run(tmp_path / "both", plan)
    arguments = [str(path) for path in (tokens, run_dir, tmp_path / "hosts", tmp_path / "there")]
    command = [*two_machines, sys.executable, "-c", PARENT, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=bare_environment()) as parent:
        wait_for(lambda: checkpoint_steps(run_dir / "checkpoints") or parent.poll() is not None)
        for folder in processes(run_dir):
            if b"RANK=1\0" in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
        _, said = parent.communicate(timeout=600)
    assert (parent.returncode, said) == (0, "")
    assert len(events_of(run_dir, "restart")) == 1
    assert list(losses(run_dir).values()) == pytest.approx(list(losses(alone).values()), abs=5e-6)
    assert not processes(run_dir)


@pytest.mark.soak
def test_a_killed_parent_leaves_no_worker_on_any_machine_and_one_out_of_reach_is_named(
    tmp_path: Path, tokens: Path, two_machines: list[str]
) -> None:
    long = {"steps": 100_000, "checkpoint_every_steps": 100_000}
    run_dir = make_run(
        tmp_path / "both", tiny_plan(layout={"nodes": 2, "micro_batch_sequences": 2}, schedule=long)
    )
    arguments = [str(path) for path in (tokens, run_dir, tmp_path / "hosts", tmp_path / "there")]
    command = [*two_machines, sys.executable, "-c", PARENT, *arguments]
    parent = subprocess.Popen(command, env=bare_environment())
    wait_for(lambda: (run_dir / "events.jsonl").exists() and events_of(run_dir, "train_start"))
    assert len(processes(run_dir)) >= 4
    parent.kill()
    parent.wait()
    wait_for(lambda: not processes(run_dir))

    (tmp_path / "hosts").write_text("10.77.0.1\n10.77.0.9\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=bare_environment())
    assert done.returncode == 1
    assert (
        f"train: 10.77.0.9 can't be reached with `{tmp_path / 'there'}` (no way to 10.77.0.9): see"
        in done.stderr
    )
    assert not processes(run_dir)
