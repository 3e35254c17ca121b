"""How much memory this worker has held at most, and how much this machine has left."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")


def peak_memory_bytes(device: torch.device) -> int:
    """Return the peak of this process: torch's allocations on a GPU, resident memory (VmHWM) on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists() and (match := re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)):
        return int(match[1]) * 1024
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


def available_memory_bytes() -> int:
    """Return the host memory that can still be had without swapping; where Linux does not say, half of all there is."""
    if _MACHINE.exists() and (
        match := re.search(r"^MemAvailable:\s+(\d+) kB", _MACHINE.read_text(), re.MULTILINE)
    ):
        return int(match[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
