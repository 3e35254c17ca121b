"""What this machine is, asked without importing torch: cores, memory, GPUs."""

from __future__ import annotations

import os
import platform
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
    """Of the smallest GPU; 0 where there is none."""


def probe_machine() -> Machine:
    """Ask this machine. GPUs hidden by CUDA_VISIBLE_DEVICES are not counted."""
    names, memory_bytes = _gpus()
    return Machine(_usable_cores(), _memory_bytes(), bool(_BF16_FLAGS & _cpu_flags()), names, memory_bytes)


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
    if shutil.which("nvidia-smi") is None:
        return (), 0
    command = ["nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return (), 0
    rows = [[part.strip() for part in line.split(",")] for line in answer.stdout.splitlines() if line.strip()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        chosen = {part.strip() for part in visible.split(",")}
        rows = [row for row in rows if row[0] in chosen]
    if not rows:
        return (), 0
    return tuple(row[1] for row in rows), min(int(row[2]) for row in rows) * 1024**2
