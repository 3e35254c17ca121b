"""The hardware a plan is for: what the spec says, `local` replaced by what this machine is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from forge.errors import FitError, SpecError
from forge.plan.machine import Machine
from forge.resources import data_dir
from forge.spec import safe_yaml

GIB = 1024**3

CPU_TFLOPS_PER_THREAD = {"bf16": 0.110, "fp32": 0.055}
"""Matrix throughput of one CPU thread in a training step of a model of 3M to 20M parameters.

Measured by benchmarks/cpu_rate.py on a two-core machine with avx512_bf16 (November 2026). Other CPUs differ by
a factor of two either way; the report shows by how much.
"""


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
        here = _describe_gpus(machine)
        chip = hardware.gpu.split("-")[0]
        matching = [gpu for gpu in machine.gpu_names if chip in gpu.lower()]
        if len(matching) < hardware.devices_per_node:
            raise FitError(
                f"hardware={hardware.name}: needs {hardware.devices_per_node} {hardware.gpu} a node, this machine "
                f"has {here}: run it there, or choose hardware=local"
            )
        if hardware.nodes > 1:
            raise FitError(
                f"hardware={hardware.name}: runs over several nodes are started on each node: use one node"
            )
    elif hardware.threads_per_process * hardware.devices_per_node > 2 * machine.cores:
        raise FitError(
            f"hardware={hardware.name}: computes with "
            f"{hardware.threads_per_process * hardware.devices_per_node} threads, this machine has "
            f"{machine.cores} cores: choose hardware=local"
        )


def _describe_gpus(machine: Machine) -> str:
    if not machine.gpu_names:
        return "no GPU"
    return f"{len(machine.gpu_names)} {machine.gpu_names[0]}"


def _gpu(spec: dict[str, Any], name: str) -> Hardware:
    ceiling = spec["measured_matmul_tflops"] * 1e12
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
        # Without bf16 the matrix units run in TF32, at half the rate.
        matmul_flops={"bf16": ceiling, "fp32": ceiling / 2},
        memory_bytes_per_s=spec["hbm_tb_per_s"] * 1e12,
        gpu_link_bytes_per_s=spec["gpu_link_gb_per_s"] * 1e9,
        node_link_bytes_per_s=spec["node_link_gb_per_s"] * 1e9,
        usd_per_gpu_hour=spec["usd_per_gpu_hour"],
        native_bf16=True,
    )


def _local_gpu(spec: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """Return the hardware values of this machine's GPUs: those of the known chip, over them what the user set."""
    driver_name = machine.gpu_names[0].lower()
    known: dict[str, dict[str, Any]] = {}
    for file in sorted((data_dir("conf") / "hardware").glob("_*.yaml")):
        known[file.stem] = safe_yaml.parse(file.read_text(encoding="utf-8")).values
    chips = {values["gpu"]: values for values in known.values() if values["gpu"].split("-")[0] in driver_name}
    chip = next(iter(chips.values()), {})
    if chip:
        for base in chip.get("defaults", []):
            chip = {**known.get(base, {}), **chip}
    found = {**chip, **{key: value for key, value in spec.items() if value is not None}}
    needed = (
        "peak_bf16_tflops",
        "measured_matmul_tflops",
        "hbm_tb_per_s",
        "gpu_link_gb_per_s",
        "node_link_gb_per_s",
    )
    missing = [f"hardware.{key}" for key in needed if found.get(key) is None]
    if missing:
        raise SpecError(
            f"hardware=local: this machine has {machine.gpu_names[0]}, which forge does not know: give {', '.join(missing)}"
        )
    return {
        **found,
        "gpu": found.get("gpu") or driver_name.replace(" ", "-"),
        "nodes": 1,
        "gpus_per_node": len(machine.gpu_names),
        "gpu_memory_gib": spec["gpu_memory_gib"] or machine.gpu_memory_bytes / GIB,
        "host_memory_gib": spec["host_memory_gib"] or machine.memory_bytes / GIB,
    }


def _cpu(spec: dict[str, Any], name: str, machine: Machine) -> Hardware:
    local = spec["kind"] == "local"
    processes = spec["cpu_processes"] or 1
    cores = machine.cores if local else 2
    threads = spec["threads_per_process"] or max(1, cores // processes)
    memory_bytes = int(spec["host_memory_gib"] * GIB) if spec["host_memory_gib"] else machine.memory_bytes
    native_bf16 = local and machine.has_native_bf16
    rates = {
        precision: threads * CPU_TFLOPS_PER_THREAD[precision if native_bf16 else "fp32"] * 1e12
        for precision in ("bf16", "fp32")
    }
    return Hardware(
        name=name,
        device="cpu",
        gpu="",
        nodes=1,
        devices_per_node=processes,
        threads_per_process=threads,
        device_memory_bytes=memory_bytes // processes,
        host_memory_bytes=memory_bytes,
        peak_flops=rates["bf16"],
        matmul_flops=rates,
        memory_bytes_per_s=10e9,
        gpu_link_bytes_per_s=2e9,
        node_link_bytes_per_s=2e9,
        usd_per_gpu_hour=None,
        native_bf16=native_bf16,
    )
