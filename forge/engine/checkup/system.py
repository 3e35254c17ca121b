"""The operating system's side: Python, packages, memory, limits, disk, clock, loopback, environment."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from forge.engine.checkup.finding import Finding, advice, fault, good
from forge.engine.processes import check_loopback
from forge.errors import StageError
from forge.plan.machine import Machine

LEAST_PYTHON = (3, 11)
SHOWN_PACKAGES = ("torch", "deepspeed", "transformers", "hydra-core", "pyarrow")

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_MEMORY_BYTES = 1024**3
"""NCCL keeps some tens of MiB there for each pair of GPUs of a machine; containers start with 64 MiB."""

LEAST_OPEN_FILES = 256
ENOUGH_OPEN_FILES = 1024

LEAST_DISK_BYTES = 1024**3
SLOW_DISK_BYTES_PER_S = 100e6
PROBE_BYTES = 64 * 1024**2
CHECKPOINT_BYTES_PER_PARAMETER = 12
"""fp32 weights and both moments of Adam, as `forge.engine.checkpoint` writes them."""

MOST_CLOCK_SKEW_S = 5.0

SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY")
OVERRULED = ("OMP_NUM_THREADS", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "GLOO_SOCKET_IFNAME")
"""Variables for which a run's workers get values of its own."""
ALTERING = ("NCCL_", "TORCH_NCCL_", "PYTORCH_CUDA_ALLOC_CONF", "DS_SKIP_CUDA_CHECK", "LD_PRELOAD")


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Judge the interpreter."""
    shown = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        return fault("Python", shown, "make the environment with Python 3.11 or later")
    return good("Python", shown)


def packages(requirements: Iterable[str] | None = None) -> Finding:
    """Compare what is installed with the ranges that forge was made for.

    Args:
        requirements: as a wheel states them; None asks the installed forge.
    """
    if requirements is None:
        try:
            requirements = metadata.requires("forge-run") or []
        except metadata.PackageNotFoundError:
            return advice(
                "packages", "forge itself is not installed, so versions were not compared", "pip install -e ."
            )
    asked = [Requirement(text) for text in requirements]
    wrong = []
    for requirement in asked:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is None:
            wrong.append(f"{requirement.name} is not installed")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is outside {requirement.specifier}")
    if wrong:
        return fault("packages", "; ".join(wrong), "pip install --upgrade forge-run")
    shown = (f"{name} {_version(name)}" for name in SHOWN_PACKAGES if _version(name))
    return good("packages", ", ".join(shown))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def host(machine: Machine, available_bytes: int | None) -> Finding:
    """Judge cores and memory.

    Args:
        machine: as the planner sees it.
        available_bytes: what programs can get now; None where the system does not say.
    """
    found = f"{machine.cores} cores, {_gib(machine.memory_bytes)} of memory"
    if available_bytes is None:
        return good("host", found)
    found += f", {_gib(available_bytes)} of it free"
    if available_bytes < machine.memory_bytes / 2:
        return advice("host", found, "plans count on the whole memory: end what else holds it")
    return good("host", found)


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the memory that programs can get without swapping; None where there is no /proc."""
    if not meminfo.is_file():
        return None
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def shared_memory(gpus: int, folder: Path = SHARED_MEMORY) -> Finding | None:
    """Judge the memory through which GPUs of one machine meet; None where the system has none of that kind."""
    if not folder.is_dir():
        return None
    total_bytes = shutil.disk_usage(folder).total
    found = f"{_gib(total_bytes)} in {folder}"
    if total_bytes >= LEAST_SHARED_MEMORY_BYTES:
        return good("shared memory", found)
    remedy = "start the container with --shm-size=8g or --ipc=host"
    return (fault if gpus > 1 else advice)("shared memory", found, remedy)


def open_files(limits: tuple[int, int] | None = None) -> Finding:
    """Judge how many files and connections a process may hold open."""
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return good("open files", "no limit")
    found = f"{soft:,} a process"
    most = "" if hard == resource.RLIM_INFINITY else f" (at most {hard:,} here)"
    remedy = f"ulimit -n 65536{most}"
    if soft < LEAST_OPEN_FILES:
        return fault("open files", found, remedy)
    return good("open files", found) if soft >= ENOUGH_OPEN_FILES else advice("open files", found, remedy)


@dataclass(frozen=True, slots=True)
class Disk:
    """What writing to a folder showed."""

    free_bytes: int
    write_bytes_per_s: float
    """Written and forced out to the disk."""
    clock_skew_s: float
    """How far the file system's clock is ahead of this machine's."""


def probe_disk(folder: Path, probe_bytes: int = PROBE_BYTES) -> Disk:
    """Write a file to `folder`, time it and take it away.

    Raises:
        OSError: nothing can be written there.
    """
    block = os.urandom(1024**2)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".forge-doctor-") as file:
        began_s = time.perf_counter()
        for _ in range(max(1, probe_bytes // len(block))):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        took_s = time.perf_counter() - began_s
        skew_s = os.fstat(file.fileno()).st_mtime - time.time()
    return Disk(shutil.disk_usage(folder).free, probe_bytes / took_s, skew_s)


def disk(folder: Path) -> list[Finding]:
    """Judge the disk where runs are kept: may one write, how much, how fast; and the clock of its server."""
    try:
        probed = probe_disk(folder)
    except OSError as error:
        remedy = "choose another folder with output_dir, or free some space"
        return [fault("disk", f"{folder}: cannot be written: {error.strerror or error}", remedy)]
    return [judge_disk(folder, probed), judge_clock(probed)]


def judge_disk(folder: Path, probed: Disk) -> Finding:
    """Judge what was found of a disk."""
    checkpoint_s = 1e9 * CHECKPOINT_BYTES_PER_PARAMETER / probed.write_bytes_per_s
    found = (
        f"{_gib(probed.free_bytes)} free in {folder}, written at {probed.write_bytes_per_s / 1e6:,.0f} MB/s: "
        f"a checkpoint of 1B parameters takes {checkpoint_s:,.0f} s"
    )
    if probed.free_bytes < LEAST_DISK_BYTES:
        return fault("disk", found, "free some space, or choose another folder with output_dir")
    if probed.write_bytes_per_s < SLOW_DISK_BYTES_PER_S:
        return advice("disk", found, "keep runs on a local or faster disk: output_dir=FOLDER")
    return good("disk", found)


def judge_clock(probed: Disk) -> Finding:
    """Judge the clock by that of the disk's server, which other machines share."""
    skew_s = probed.clock_skew_s
    if abs(skew_s) <= MOST_CLOCK_SKEW_S:
        return good("clock", f"agrees with the disk's; {time.strftime('%Y-%m-%d %H:%M %Z')}")
    behind = "behind" if skew_s > 0 else "ahead of"
    return advice(
        "clock",
        f"{abs(skew_s):,.0f} s {behind} the disk's",
        "set the clocks of all machines by one time server (chrony, ntpd): times in events and logs will not match",
    )


def loopback() -> Finding:
    """Judge whether processes of this machine reach each other."""
    try:
        check_loopback()
    except StageError:
        return fault("loopback", "127.0.0.1 can't be reached", "ip link set lo up")
    return good("loopback", "127.0.0.1 answers")


def environment(variables: Mapping[str, str]) -> Finding:
    """Name the variables that would change a run or that hold a secret; values are not shown."""
    remarks = []
    if secrets := [name for name in SECRETS if variables.get(name)]:
        remarks.append(f"{', '.join(secrets)} set: forge reads none of them, other programs may")
    if overruled := [name for name in OVERRULED if name in variables]:
        remarks.append(f"{', '.join(overruled)} set: workers get values of their own")
    if altering := sorted(name for name in variables if name.startswith(ALTERING)):
        remarks.append(f"{', '.join(altering)} set: workers see them")
    quiet = "hub and telemetry are off in workers"
    if not remarks:
        return good("environment", quiet)
    return advice("environment", f"{quiet}; {'; '.join(remarks)}", "unset those that are not meant")


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / 1024**3:,.1f} GiB" if size_bytes >= 1024**3 else f"{size_bytes / 1024**2:,.0f} MiB"
