"""The whole examination, in the order in which things fail."""

from __future__ import annotations

import os
from pathlib import Path

from forge.engine.checkup import devices, system
from forge.engine.checkup.finding import Finding
from forge.plan.machine import probe_machine


def examine(folder: Path) -> list[Finding]:
    """Look at this machine.

    Args:
        folder: where runs are to be kept; a file is written there and taken away.
    """
    machine = probe_machine()
    findings: list[Finding | None] = [system.python(), system.packages()]
    torch = devices.probe_torch()
    findings += [system.host(machine, system.available_memory_bytes()), *devices.devices(machine, torch)]
    findings += [devices.compilers(), devices.toolkit(torch), *devices.deepspeed_ops()]
    findings += [system.shared_memory(len(torch.gpus)), system.open_files(), *system.disk(folder)]
    findings += [system.loopback(), system.environment(os.environ)]
    return [finding for finding in findings if finding is not None]
