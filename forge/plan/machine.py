"""What this machine is, asked without importing torch: cores, memory, GPUs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NVIDIA_SMI_TIMEOUT_S = 20

_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as its operating system and driver report it."""

    cores: int
    memory_bytes: int
    has_native_bf16: bool
    """Whether the CPU multiplies bf16 in hardware."""
    gpu_names: tuple[str, ...]
    """One driver name a GPU: ('NVIDIA H100 80GB HBM3', ...)."""
    gpu_memory_bytes: int
    """Of the smallest GPU; 0 where there is none, or the driver does not say."""
    nvlinked: bool = True
    """Whether NVLink joins every pair of GPUs; True where the driver does not say."""
    disk_bytes: int = 0
    """Size of the disk that holds the working folder."""


def probe_machine() -> Machine:
    """Ask this machine. GPUs hidden by CUDA_VISIBLE_DEVICES are not counted."""
    names, gpu_memory_bytes = _gpus()
    return Machine(
        cores=_usable_cores(),
        memory_bytes=_memory_bytes(),
        has_native_bf16=bool(_BF16_FLAGS & _cpu_flags()),
        gpu_names=names,
        gpu_memory_bytes=gpu_memory_bytes,
        nvlinked=_nvlinked() if len(names) > 1 else True,
        disk_bytes=shutil.disk_usage(Path.cwd()).total,
    )


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    """Return physical memory, or the container's limit where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file():
        text = limit.read_text().strip()
        if text.isdigit():
            return min(physical, int(text))
    return physical


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if platform.system() != "Linux" or not cpuinfo.is_file():
        return set()
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def _gpus() -> tuple[tuple[str, ...], int]:
    answer = _ask_driver("--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")
    rows = [[part.strip() for part in line.split(",")] for line in answer.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        chosen = {part.strip() for part in visible.split(",")}
        rows = [row for row in rows if row[0] in chosen]
    if not rows:
        return (), 0
    # A GPU that shares the machine's memory has none of its own to tell.
    sizes_mib = [int(row[2]) if row[2].isdigit() else 0 for row in rows]
    return tuple(row[1] for row in rows), min(sizes_mib) * 1024**2


def _nvlinked() -> bool:
    """Read the driver's table of links: `NV12` is twelve NVLinks, `PHB`, `SYS` and their like go over PCIe."""
    rows = [line.split() for line in _ask_driver("topo", "-m").splitlines() if re.match(r"GPU\d+\s", line)]
    links = [link for row in rows for link in row[1 : 1 + len(rows)] if link != "X"]
    return all(link.startswith("NV") for link in links)


def _ask_driver(*arguments: str) -> str:
    """Return what nvidia-smi answers; '' where there is no driver or it fails."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        answer = subprocess.run(
            ["nvidia-smi", *arguments],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout
