from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.rendezvous import rendezvous

from forge.engine.failures import (
    clear_failures,
    failure_line,
    failures_file,
    first_failure,
    record_failure,
)
from forge.errors import StageError


def test_the_earliest_error_counts(tmp_path: Path) -> None:
    record_failure(tmp_path, 1, StageError("train: loss became nan at step 17: lower train.learning_rate"))
    record_failure(tmp_path, 0, RuntimeError("Connection closed by peer\nmore"))
    failures_file(tmp_path, 0).write_text(json.dumps({"0": 1, "1": 1}))
    failure = first_failure(tmp_path)
    line, log = failure.line, failure.log
    assert line == "train: loss became nan at step 17: lower train.learning_rate"
    assert log.name == "rank1.log"


def test_a_kill_explains_the_errors_of_the_survivors(tmp_path: Path) -> None:
    record_failure(tmp_path, 0, RuntimeError("Connection closed by peer"))
    failures_file(tmp_path, 0).write_text(json.dumps({"0": 1, "1": -9}))
    failure = first_failure(tmp_path)
    line, log = failure.line, failure.log
    assert line == "train: rank 1 was killed by signal 9 (out of memory?)"
    assert log.name == "rank1.log"


def test_a_worker_that_outgrows_a_small_shared_memory_is_told_so(tmp_path: Path) -> None:
    """The kernel ends it with SIGBUS: no error of its own is left."""
    shm = tmp_path / "shm"
    shm.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", str(shm)], capture_output=True).returncode != 0:
        pytest.skip("this machine lets no user mount a small shared memory")
    script = 'mount -t tmpfs -o size=64k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    worker = """
import mmap, os, sys
file = os.open(sys.argv[1] + "/segment", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 1 << 20)
mmap.mmap(file, 1 << 20).write(bytes(1 << 20))
"""
    done = subprocess.run([*own, "sh", "-c", script, "sh", str(shm), sys.executable, worker])
    assert done.returncode == -signal.SIGBUS
    failures_file(tmp_path, 0).write_text(json.dumps({"1": done.returncode}))
    assert first_failure(tmp_path).line == (
        "train: rank 1 was killed by signal 7 (shared memory too small? enlarge /dev/shm: a container wants "
        "--shm-size=8g or --ipc=host)"
    )


PEER = """
import os, sys
from pathlib import Path
import torch
from forge.engine.failures import record_failure
meeting, logs, rank = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
torch.distributed.barrier()
if rank == 1:
    os._exit(0)
try:
    torch.distributed.all_reduce(torch.ones(1_000_000))
except RuntimeError as error:
    record_failure(logs, rank, error)
"""


def test_a_gloo_peer_that_dies_is_said_so(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PEER, (tmp_path / "store").as_uri(), str(tmp_path)]
    ranks = [
        subprocess.Popen([*command, str(rank)], env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"})
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.wait(120)
    failure = first_failure(tmp_path)
    assert failure.line.startswith("train: rank 0 lost its connection to another worker (")
    assert failure.line.endswith("a worker or a machine went away, or the network failed")
    assert failure.kind == "killed"


def test_the_end_that_torchrun_gives_a_survivor_explains_nothing(tmp_path: Path) -> None:
    record_failure(tmp_path, 1, RuntimeError("the cause\nits trace"))
    failures_file(tmp_path, 0).write_text(json.dumps({"0": -15, "1": 1}))
    assert first_failure(tmp_path).line == "train: rank 1 failed: RuntimeError: the cause"


def test_what_an_earlier_attempt_left_is_cleared(tmp_path: Path) -> None:
    record_failure(tmp_path, 1, RuntimeError("old"))
    failures_file(tmp_path, 0).write_text("{}")
    clear_failures(tmp_path)
    failure = first_failure(tmp_path)
    line, log = failure.line, failure.log
    assert "launcher" in line
    assert log.name == "launcher.log"


def test_gpu_memory_running_out_names_the_remedy() -> None:
    line = failure_line(3, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert "rank 3 ran out of GPU memory" in line
    assert "engine.micro_batch_sequences" in line
    assert "engine.activation_checkpointing=full" in line


def test_an_error_without_words_still_has_a_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        raise AssertionError
    assert failure_line(0, caught.value) == "train: rank 0 failed: AssertionError: no message"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StageError("train: the disk is full"), "refused"),
        (OSError(28, "No space left on device"), "refused"),
        (torch.OutOfMemoryError("CUDA out of memory."), "refused"),
        (RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1234"), "killed"),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), "killed"),
        (PermissionError(13, "Permission denied", "/runs/events.jsonl"), "refused"),
        (
            RuntimeError("Error while creating shared memory segment /dev/shm/nccl-1 (size 9637888)"),
            "refused",
        ),
        (OSError(98, "Address already in use"), "killed"),
        (ValueError("shapes differ"), "error"),
    ],
)
def test_what_a_new_start_can_mend_is_told_from_what_it_cannot(
    error: Exception, kind: str, tmp_path: Path
) -> None:
    record_failure(tmp_path, 0, error)
    assert first_failure(tmp_path).kind == kind


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(28, "No space left on device", "/runs/events.jsonl"),
            "found the disk full (/runs/events.jsonl: No space left on device): free some space",
        ),
        (
            OSError(30, "Read-only file system", "/runs/events.jsonl"),
            "may not write (/runs/events.jsonl: Read-only file system): "
            "set output_dir to a folder you may write to",
        ),
        (
            RuntimeError("unable to open shared memory object </torch_1> in read-write mode: No space left"),
            "found shared memory too small (unable to open shared memory object </torch_1> in read-write mode: "
            "No space left): enlarge /dev/shm: a container wants --shm-size=8g or --ipc=host",
        ),
        (
            RuntimeError("[../pair.cc:534] Connection closed by peer [127.0.0.1]:1234"),
            "lost its connection to another worker ([../pair.cc:534] Connection closed by peer [127.0.0.1]:1234): "
            "a worker or a machine went away, or the network failed",
        ),
    ],
)
def test_a_failure_with_a_known_cause_names_it_and_its_remedy(error: Exception, line: str) -> None:
    assert failure_line(2, error) == f"train: rank 2 {line}"


def test_a_port_in_use_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(torch.distributed.DistNetworkError) as caught:
            next(rendezvous(f"tcp://127.0.0.1:{port}?rank=0&world_size=1"))
    line = failure_line(0, caught.value)
    assert line.startswith("train: rank 0 found its port in use by another program (")
    assert str(port) in line
    assert line.endswith("a new start takes another port; where MASTER_PORT is set, unset it")
