from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forge.plan.machine import probe_machine

TWO_H100 = "0, NVIDIA H100 80GB HBM3, 81559\n1, NVIDIA H100 80GB HBM3, 81079\n"
NVLINK = (
    "\tGPU0\tGPU1\tNIC0\tCPU Affinity\n"
    "GPU0\t X \tNV18\tPIX\t0-47\n"
    "GPU1\tNV18\t X \tSYS\t0-47\n"
    "NIC0\tPIX\tSYS\t X\n"
)
PCIE = NVLINK.replace("NV18", "PHB")


def _fake_smi(folder: Path, answer: str, status: int = 0, topology: str = NVLINK) -> None:
    script = folder / "nvidia-smi"
    script.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"print({topology!r} if 'topo' in sys.argv else {answer!r}, end='')\nraise SystemExit({status})\n"
    )
    script.chmod(0o755)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


def test_gpus_are_those_the_driver_names_with_the_memory_of_the_smallest(driver: Path) -> None:
    _fake_smi(driver, TWO_H100)
    machine = probe_machine()
    assert machine.gpu_names == ("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    assert machine.gpu_memory_bytes == 81079 * 1024**2


@pytest.mark.parametrize(("visible", "count"), [("0", 1), ("1,0", 2), ("", 0), ("7", 0)])
def test_hidden_gpus_are_not_counted(
    driver: Path, visible: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_smi(driver, TWO_H100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(probe_machine().gpu_names) == count


@pytest.mark.parametrize(("answer", "status"), [("", 0), ("no devices were found\n", 9)])
def test_a_driver_without_gpus_is_no_gpu(driver: Path, answer: str, status: int) -> None:
    _fake_smi(driver, answer, status)
    assert (probe_machine().gpu_names, probe_machine().gpu_memory_bytes) == ((), 0)


@pytest.mark.parametrize(("topology", "nvlinked"), [(NVLINK, True), (PCIE, False), ("", True)])
def test_links_are_those_the_driver_tells(driver: Path, topology: str, nvlinked: bool) -> None:
    _fake_smi(driver, TWO_H100, topology=topology)
    assert probe_machine().nvlinked is nvlinked


def test_a_driver_that_does_not_tell_the_memory_is_no_failure(driver: Path) -> None:
    _fake_smi(driver, "0, NVIDIA GB10, [N/A]\n")
    machine = probe_machine()
    assert (machine.gpu_names, machine.gpu_memory_bytes) == (("NVIDIA GB10",), 0)


def test_no_driver_is_no_gpu(driver: Path) -> None:
    assert probe_machine().gpu_names == ()


def test_cores_and_memory_are_what_this_process_may_use() -> None:
    machine = probe_machine()
    assert machine.cores == len(os.sched_getaffinity(0))
    total = int(subprocess.run(["awk", "/MemTotal/{print $2}", "/proc/meminfo"], capture_output=True).stdout)
    assert 0 < machine.memory_bytes <= total * 1024
    assert machine.disk_bytes > 0
