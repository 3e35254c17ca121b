"""The hardware a plan is for: what the spec says, `local` replaced by what this machine is."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forge.errors import FitError, SpecError
from forge.plan.machine import Machine
from forge.resources import data_dir
from forge.spec import safe_yaml
from forge.spec.machine_names import machine_document

GIB = 1024**3

CPU_TFLOPS_PER_THREAD = {"bf16": 0.110, "emulated bf16": 0.003, "fp32": 0.055}
"""Matrix throughput of one CPU thread in a training step of a model of 3M to 20M parameters.

Measured by benchmarks/cpu_rate.py (November 2026) on two-core machines: bf16 on one with avx512_bf16, the others on
one without, where bf16 is emulated. Other CPUs differ by a factor of two either way; the report shows by how much.
"""

GPU_HOURS_BETWEEN_FAILURES = 50_000.0
"""Where the spec says nothing. 419 interruptions of 16,384 H100 in 54 days (Llama 3, Dubey 2024, table 5)."""

FP32_SHARE_OF_CEILING = 1 / 16
"""fp32 throughput without TF32, of the bf16 ceiling, where the spec says nothing: 1/12 on an H100, 1/14 on an A100."""

PCIE_GB_PER_S = 31.0
"""One direction of PCIe 4 x16 (ml-engineering): what GPUs of a node share where no NVLink joins them all."""

FIVE_NUMBERS = (
    "peak_bf16_tflops",
    "measured_matmul_tflops",
    "hbm_tb_per_s",
    "gpu_link_gb_per_s",
    "node_link_gb_per_s",
)
"""What a plan must know of a GPU that the machine itself does not tell."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Resolved hardware. Rates are of one device: a GPU, or a process on a CPU."""

    name: str
    device: Literal["cpu", "cuda"]
    gpu: str
    nodes: int
    devices_per_node: int
    threads_per_process: int
    device_memory_bytes: int
    host_memory_bytes: int
    peak_flops: float
    """Datasheet, FLOP/s: what MFU is measured against."""
    matmul_flops: dict[str, float]
    """Measured ceiling by precision, FLOP/s."""
    memory_bytes_per_s: float
    gpu_link_bytes_per_s: float
    """One direction, between devices of a node."""
    node_link_bytes_per_s: float
    """One direction, of a whole node."""
    usd_per_gpu_hour: float | None
    native_bf16: bool
    driver_name: str = ""
    """Words that the driver's name of the GPU holds, in any order; '' on a CPU."""
    disk_bytes: int | None = None
    """Local disk of a machine; None where unknown."""
    power_watts: float | None = None
    """Limit of one GPU's board; None where unknown."""
    gpu_hours_between_failures: float = GPU_HOURS_BETWEEN_FAILURES
    node_hop_s: float | None = None
    """Latency of one message between nodes, where it is known: 15 to 45 us on EFA; None for InfiniBand's few us."""

    @property
    def world_size(self) -> int:
        """Devices in all."""
        return self.nodes * self.devices_per_node

    @property
    def link_bytes_per_s(self) -> float:
        """A device's share of the slowest link that a collective over all devices crosses, one direction."""
        if self.nodes == 1:
            return self.gpu_link_bytes_per_s
        return min(self.gpu_link_bytes_per_s, self.node_link_bytes_per_s / self.devices_per_node)


def resolve_hardware(spec: dict[str, Any], name: str, machine: Machine) -> Hardware:
    """Return the hardware of a spec.

    Args:
        spec: the values of group `hardware`, valid by their schema.
        name: the option chosen (`8xh100`).
        machine: this machine, for `kind: local`.

    Raises:
        SpecError: this machine's GPU is not one forge knows.
    """
    if spec["kind"] == "gpu":
        return _gpu(spec, name)
    if spec["kind"] == "local" and machine.gpu_names:
        return _gpu({**spec, **_local_gpu(spec, machine)}, name)
    return _cpu(spec, name, machine)


def check_runnable(hardware: Hardware, machine: Machine) -> None:
    """Refuse to run a plan on a machine that is not what the plan is for.

    Raises:
        FitError: GPUs are missing or of another type, or host memory is.
    """
    if hardware.device == "cuda":
        matching = [name for name in machine.gpu_names if is_called(name, hardware.driver_name)]
        if len(matching) < hardware.devices_per_node:
            here = f"{len(machine.gpu_names)} {machine.gpu_names[0]}" if machine.gpu_names else "no GPU"
            raise FitError(
                f"hardware={hardware.name}: needs {hardware.devices_per_node} {hardware.gpu} a node, this machine "
                f"has {here}: run it there, or choose hardware=local"
            )
    elif hardware.threads_per_process * hardware.devices_per_node > 2 * machine.cores:
        raise FitError(
            f"hardware={hardware.name}: computes with "
            f"{hardware.threads_per_process * hardware.devices_per_node} threads, this machine has "
            f"{machine.cores} cores: choose hardware=local"
        )


def is_called(driver_says: str, driver_name: str) -> bool:
    """True where the driver's name of a GPU holds every word of `driver_name`."""
    return bool(driver_name) and _words(driver_name) <= _words(driver_says)


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", name.lower())) - {""}


def _gpu(spec: dict[str, Any], name: str) -> Hardware:
    ceiling = spec["measured_matmul_tflops"] * 1e12
    fp32 = spec["fp32_tflops"] * 1e12 if spec["fp32_tflops"] else ceiling * FP32_SHARE_OF_CEILING
    return Hardware(
        name=name,
        device="cuda",
        gpu=spec["gpu"],
        nodes=spec["nodes"],
        devices_per_node=spec["gpus_per_node"],
        threads_per_process=spec["threads_per_process"] or 4,
        device_memory_bytes=int(spec["gpu_memory_gib"] * GIB),
        host_memory_bytes=int(spec["host_memory_gib"] * GIB),
        peak_flops=spec["peak_bf16_tflops"] * 1e12,
        # torch multiplies fp32 in fp32 unless told to use TF32, and forge does not tell it.
        matmul_flops={"bf16": ceiling, "fp16": ceiling, "fp32": fp32},
        memory_bytes_per_s=spec["hbm_tb_per_s"] * 1e12,
        gpu_link_bytes_per_s=spec["gpu_link_gb_per_s"] * 1e9,
        node_link_bytes_per_s=spec["node_link_gb_per_s"] * 1e9,
        usd_per_gpu_hour=spec["usd_per_gpu_hour"],
        native_bf16=spec["native_bf16"] is not False,
        driver_name=spec["driver_name"] or spec["gpu"],
        disk_bytes=int(spec["disk_gib"] * GIB) if spec["disk_gib"] else None,
        power_watts=spec["power_watts"],
        gpu_hours_between_failures=spec["gpu_hours_between_failures"] or GPU_HOURS_BETWEEN_FAILURES,
    )


def _local_gpu(spec: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """Return the hardware values of this machine's GPUs: those of the known chip, over them what the user set."""
    driver_says = machine.gpu_names[0]
    if len(set(machine.gpu_names)) > 1:
        raise SpecError(
            f"hardware=local: this machine has GPUs of several kinds ({', '.join(sorted(set(machine.gpu_names)))}): "
            "choose those of one kind with CUDA_VISIBLE_DEVICES"
        )
    chips = [chip for chip in _known_chips().values() if is_called(driver_says, chip["driver_name"])]
    # The most exact name wins: `H100 80GB HBM3` over `H100`.
    chip = max(chips, key=lambda values: len(_words(values["driver_name"])), default={})
    found = {**chip, **{key: value for key, value in spec.items() if value is not None}}
    missing = [f"hardware.{key}" for key in FIVE_NUMBERS if found.get(key) is None]
    if missing:
        raise SpecError(
            f"hardware=local: this machine has {driver_says}, which forge does not know: give {', '.join(missing)}"
        )
    if not (spec["gpu_memory_gib"] or machine.gpu_memory_bytes):
        raise SpecError(
            f"hardware=local: the driver does not say how much memory {driver_says} has: give hardware.gpu_memory_gib"
        )
    link = found["gpu_link_gb_per_s"]
    if not machine.nvlinked and spec["gpu_link_gb_per_s"] is None:
        link = min(link, PCIE_GB_PER_S)
    return {
        **found,
        "gpu": found.get("gpu") or "-".join(driver_says.lower().split()),
        "driver_name": found.get("driver_name") or driver_says,
        "nodes": 1,
        "gpus_per_node": len(machine.gpu_names),
        "gpu_link_gb_per_s": link,
        "gpu_memory_gib": spec["gpu_memory_gib"] or machine.gpu_memory_bytes / GIB,
        "host_memory_gib": spec["host_memory_gib"] or machine.memory_bytes / GIB,
        "disk_gib": spec["disk_gib"] or machine.disk_bytes / GIB,
    }


def named_machine(name: str) -> dict[str, Any] | None:
    """Return the values of group `hardware` for a name such as `64xh100`, as forge ships them; None for another."""
    chips = _known_chips()
    document = machine_document(name, chips.get)
    if document is None or document.errors:
        return None
    nothing = _parsed(_conf() / "local.yaml")
    chip = chips[document.values["defaults"][0].removeprefix("_")]
    values = {**nothing, **chip, **document.values}
    return {key: values[key] for key in nothing}


def chips_by_memory() -> list[str]:
    """Return the names of the GPUs that forge knows, the one with least memory first."""
    chips = _known_chips()
    return sorted(chips, key=lambda name: (chips[name]["gpu_memory_gib"], name))


@functools.cache
def _known_chips() -> dict[str, dict[str, Any]]:
    return {file.stem.removeprefix("_"): _parsed(file) for file in sorted(_conf().glob("_*.yaml"))}


def _parsed(file: Path) -> dict[str, Any]:
    values = safe_yaml.parse(file.read_text(encoding="utf-8")).values
    return {key: value for key, value in values.items() if key != "defaults"}


def _conf() -> Path:
    return data_dir("conf") / "hardware"


def _disk_bytes(spec: dict[str, Any], machine: Machine) -> int:
    return int(spec["disk_gib"] * GIB) if spec["disk_gib"] else machine.disk_bytes


def _cpu(spec: dict[str, Any], name: str, machine: Machine) -> Hardware:
    local = spec["kind"] == "local"
    processes = spec["cpu_processes"] or 1
    cores = machine.cores if local else 2
    threads = spec["threads_per_process"] or max(1, cores // processes)
    memory_bytes = int(spec["host_memory_gib"] * GIB) if spec["host_memory_gib"] else machine.memory_bytes
    native_bf16 = local and machine.has_native_bf16
    bf16 = CPU_TFLOPS_PER_THREAD["bf16" if native_bf16 else "emulated bf16"]
    rates = {"bf16": threads * bf16 * 1e12, "fp32": threads * CPU_TFLOPS_PER_THREAD["fp32"] * 1e12}
    return Hardware(
        name=name,
        device="cpu",
        gpu="",
        nodes=1,
        devices_per_node=processes,
        threads_per_process=threads,
        device_memory_bytes=memory_bytes // processes,
        host_memory_bytes=memory_bytes,
        peak_flops=max(rates.values()),
        matmul_flops=rates,
        memory_bytes_per_s=10e9,
        gpu_link_bytes_per_s=2e9,
        node_link_bytes_per_s=2e9,
        usd_per_gpu_hour=None,
        native_bf16=native_bf16,
        disk_bytes=_disk_bytes(spec, machine) if local else None,
    )
