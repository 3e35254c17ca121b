from __future__ import annotations

import resource
from pathlib import Path

import pytest

from forge.engine.checkup import system
from forge.engine.checkup.system import Disk
from forge.plan.machine import Machine

MACHINE = Machine(8, 64 * 1024**3, False, (), 0)


def test_an_old_python_is_a_fault() -> None:
    assert system.python((3, 10, 4)).state == "fault"
    assert system.python((3, 12, 0)).state == "good"


@pytest.mark.parametrize(
    ("requirements", "state", "found"),
    [
        (["pytest>=1"], "good", ""),
        (["pytest<1"], "fault", "pytest 9"),
        (["no-such-package>=2"], "fault", "no-such-package is not installed"),
        (["no-such-package>=2; extra == 'dask'"], "good", ""),
        (["no-such-package>=2; python_version < '3.0'"], "good", ""),
    ],
)
def test_installed_packages_are_held_against_their_ranges(
    requirements: list[str], state: str, found: str
) -> None:
    finding = system.packages(requirements)
    assert finding.state == state
    assert found.split()[0] in finding.found if found else True


def test_memory_that_others_hold_is_told() -> None:
    assert system.host(MACHINE, 60 * 1024**3).state == "good"
    assert system.host(MACHINE, 20 * 1024**3).state == "advice"
    assert system.host(MACHINE, None).state == "good"


def test_available_memory_is_read_from_meminfo(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:  40 kB\n")
    assert system.available_memory_bytes(meminfo) == 40 * 1024
    assert system.available_memory_bytes(tmp_path / "none") is None


def test_small_shared_memory_is_a_fault_between_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "LEAST_SHARED_MEMORY_BYTES", 1 << 60)
    here = Path.cwd()
    several, one = system.shared_memory(8, here), system.shared_memory(1, here)
    assert several is not None
    assert one is not None
    assert (several.state, one.state) == ("fault", "advice")
    assert "--shm-size" in several.remedy
    assert system.shared_memory(8, here / "nowhere") is None


@pytest.mark.parametrize(
    ("soft", "state"), [(64, "fault"), (512, "advice"), (65536, "good"), (resource.RLIM_INFINITY, "good")]
)
def test_few_open_files_are_told(soft: int, state: str) -> None:
    assert system.open_files((soft, 4096)).state == state


def test_a_folder_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (finding,) = system.disk(tmp_path / "nowhere")
    assert (finding.state, finding.what) == ("fault", "disk")


def test_a_disk_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    probed = system.probe_disk(tmp_path, 1024**2)
    assert probed.write_bytes_per_s > 0
    assert abs(probed.clock_skew_s) < 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("probed", "state"),
    [
        (Disk(10**12, 1e9, 0.0), "good"),
        (Disk(10**12, 1e7, 0.0), "advice"),
        (Disk(10**6, 1e9, 0.0), "fault"),
    ],
)
def test_disks_are_judged_by_room_and_speed(probed: Disk, state: str) -> None:
    finding = system.judge_disk(Path("runs"), probed)
    assert finding.state == state
    assert bool(finding.remedy) == (state != "good")


@pytest.mark.parametrize(
    ("skew_s", "words"), [(0.1, "agrees"), (60.0, "60 s behind"), (-60.0, "60 s ahead of")]
)
def test_the_clock_is_held_against_the_disk(skew_s: float, words: str) -> None:
    assert words in system.judge_clock(Disk(1, 1.0, skew_s)).found


def test_secrets_are_named_and_not_shown() -> None:
    finding = system.environment({"HF_TOKEN": "hf_canary", "NCCL_DEBUG": "INFO", "OMP_NUM_THREADS": "3"})
    assert finding.state == "advice"
    assert "hf_canary" not in finding.found
    assert all(name in finding.found for name in ("HF_TOKEN", "NCCL_DEBUG", "OMP_NUM_THREADS"))
    assert system.environment({}).state == "good"
