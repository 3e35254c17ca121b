"""The devices' side: torch and the driver, GPUs and their links, compilers, what DeepSpeed can build."""

from __future__ import annotations

import importlib.util
import logging
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from forge.engine.checkup.finding import Finding, advice, fault, good
from forge.plan.machine import Machine

MOST_TAKEN = 0.1
"""Share of a GPU's memory that others may hold before a plan, which counts on all of it, is at risk."""

NVCC_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as torch sees it."""

    name: str
    architecture: str
    """`sm_90`."""
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Torch:
    """What the installed torch can do here."""

    version: str
    toolkit: str | None
    """`CUDA 12.8`, `ROCm 6.4`; None for a build without GPUs."""
    architectures: tuple[str, ...]
    """Those it has code for; empty where it does not say."""
    gpus: tuple[Gpu, ...]
    refusal: str
    """Why it reaches no GPU, in its own words; empty where it does, or was not built to."""
    nccl: str | None
    """Version of NCCL."""


def probe_torch() -> Torch:
    """Ask torch."""
    import torch

    toolkit = None
    if torch.version.cuda:
        toolkit = f"CUDA {torch.version.cuda}"
    elif torch.version.hip:
        toolkit = f"ROCm {torch.version.hip}"
    refusal = ""
    gpus: list[Gpu] = []
    architectures: tuple[str, ...] = ()
    if toolkit is not None:
        try:
            torch.cuda.init()  # type: ignore[no-untyped-call]
            architectures = tuple(torch.cuda.get_arch_list())
            for index in range(torch.cuda.device_count()):
                free_bytes, total_bytes = torch.cuda.mem_get_info(index)
                major, minor = torch.cuda.get_device_capability(index)
                name = torch.cuda.get_device_name(index)
                gpus.append(Gpu(name, f"sm_{major}{minor}", free_bytes, total_bytes))
        except (RuntimeError, AssertionError) as error:
            refusal = str(error).strip().splitlines()[0]
    nccl = None
    if gpus and torch.distributed.is_nccl_available():
        nccl = ".".join(map(str, torch.cuda.nccl.version()))  # type: ignore[no-untyped-call]
    return Torch(torch.__version__, toolkit, architectures, tuple(gpus), refusal, nccl)


def devices(machine: Machine, torch: Torch) -> list[Finding]:
    """Judge the GPUs that the driver names by what torch makes of them."""
    built = f"torch {torch.version}" + (
        f" for {torch.toolkit}" if torch.toolkit else ", a build without GPUs"
    )
    if not machine.gpu_names and not torch.gpus:
        remedy = "plan for other machines with hardware=NAME; on a machine with GPUs see that `nvidia-smi` names them"
        return [advice("GPUs", f"none: runs train on the processor's cores ({built})", remedy)]
    names = _tally(machine.gpu_names or tuple(gpu.name for gpu in torch.gpus))
    if torch.toolkit is None:
        return [
            fault("GPUs", f"{names}, but {built}", "install the build of torch for the driver's CUDA version")
        ]
    if torch.refusal or not torch.gpus:
        found = f"{names}, but torch reaches none: {torch.refusal or 'it names no reason'} ({built})"
        return [fault("GPUs", found, "update the driver, or install torch for an older CUDA")]
    found_all = [_gpus(names, built, torch), _gpu_memory(torch.gpus)]
    if len(torch.gpus) > 1:
        found_all.append(_links(machine, torch))
    return found_all


def _gpus(names: str, built: str, torch: Torch) -> Finding:
    codes = {gpu.architecture for gpu in torch.gpus}
    lacking = sorted(
        code for code in codes if torch.architectures and not _has_code(code, torch.architectures)
    )
    if lacking:
        found = f"{names}, but {built} has no code for {', '.join(lacking)}"
        return fault("GPUs", found, "install a build of torch that has; newer GPUs need newer builds")
    return good("GPUs", f"{names}, {built}")


def _has_code(architecture: str, known: tuple[str, ...]) -> bool:
    """True where code is there for this GPU: its own, that of an earlier minor version, or one to be compiled."""
    if not architecture.startswith("sm_"):
        return True
    number = int(architecture[3:])
    for code in known:
        match = re.fullmatch(r"(sm|compute)_(\d+)[a-z]?", code)
        if match is None:
            continue
        kind, other = match[1], int(match[2])
        if other <= number and (kind == "compute" or other // 10 == number // 10):
            return True
    return False


def _gpu_memory(gpus: tuple[Gpu, ...]) -> Finding:
    taken = [1 - gpu.free_bytes / gpu.total_bytes for gpu in gpus]
    found = f"{min(gpu.total_bytes for gpu in gpus) / 1024**3:.1f} GiB each, {max(taken):.0%} in use at most"
    if max(taken) > MOST_TAKEN:
        busy = ", ".join(str(index) for index, share in enumerate(taken) if share > MOST_TAKEN)
        return advice(
            "GPU memory", found, f"plans count on all of it: end what runs on GPU {busy} (nvidia-smi)"
        )
    return good("GPU memory", found)


def _links(machine: Machine, torch: Torch) -> Finding:
    if torch.nccl is None:
        remedy = "install a build of torch with NCCL (Linux)"
        return fault("links", "torch has no NCCL: GPUs can't work together", remedy)
    found = f"{'NVLink between every pair' if machine.nvlinked else 'PCIe'}, NCCL {torch.nccl}"
    if machine.nvlinked:
        return good("links", found)
    return advice("links", found, "plans for these GPUs count on PCIe; see `nvidia-smi topo -m`")


def compilers(which: Callable[[str], str | None] = shutil.which) -> Finding:
    """Judge what is needed to build kernels: a C++ compiler, Python's headers, ninja."""
    compiler = next((name for name in ("c++", "g++", "clang++") if which(name)), None)
    ninja = which("ninja") is not None or importlib.util.find_spec("ninja") is not None
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    lacking = [
        name
        for name, there in (("g++", compiler), ("ninja", ninja), ("Python's headers (python3-dev)", headers))
        if not there
    ]
    if lacking:
        found = f"without {', '.join(lacking)}: no optimizer on the host, no compiled layers"
        return advice("compilers", found, f"install {', '.join(lacking)}")
    return good("compilers", f"{compiler}, ninja, Python's headers")


def toolkit(torch: Torch) -> Finding | None:
    """Compare nvcc with torch, as DeepSpeed does before it builds; None without a CUDA build and GPUs."""
    if not torch.gpus or torch.toolkit is None or not torch.toolkit.startswith("CUDA"):
        return None
    version = _nvcc_version()
    if version is None:
        return advice(
            "CUDA toolkit", "no nvcc: an optimizer on the host can't be built", "install CUDA's toolkit"
        )
    ours = torch.toolkit.removeprefix("CUDA ")
    if version.partition(".")[0] != ours.partition(".")[0]:
        found = f"nvcc is {version}, torch was built for {ours}: DeepSpeed builds nothing"
        return advice("CUDA toolkit", found, f"install CUDA's toolkit {ours}, or the torch for {version}")
    return good("CUDA toolkit", f"nvcc {version}")


def _nvcc_version() -> str | None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return None
    try:
        said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=NVCC_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"release (\d+\.\d+)", said.stdout)
    return match[1] if match else None


_OPS = (
    ("cpu_adam", "CPUAdamBuilder", "engine.offload_optimizer=cpu", "see `ds_report`"),
    ("async_io", "AsyncIOBuilder", "engine.offload_optimizer=nvme", "install libaio-dev (libaio-devel)"),
)
"""Name, what DeepSpeed builds it with, the plans that need it, and what is mostly missing."""


def deepspeed_ops() -> list[Finding]:
    """Ask DeepSpeed whether those of its ops that forge's plans use can be built."""
    findings = []
    logging.disable(
        logging.WARNING
    )  # DeepSpeed remarks on a machine without GPUs, of which there is a finding
    try:
        for name, builder_name, plans, remedy in _OPS:
            what = f"DeepSpeed {name}"
            if (problem := _op_problem(builder_name)) is None:
                findings.append(good(what, f"can be built ({plans} uses it)"))
            else:
                findings.append(advice(what, problem, f"{remedy}; plans with {plans} need it"))
    finally:
        logging.disable(logging.NOTSET)
    return findings


def _op_problem(builder_name: str) -> str | None:
    try:
        from deepspeed.accelerator import get_accelerator

        builder = get_accelerator().create_op_builder(builder_name)
        builds = builder is not None and builder.is_compatible(verbose=False)
    except Exception as error:  # whatever its check trips over, a build would too
        return f"{type(error).__name__}: {error}"
    return None if builds else "can't be built here"


def _tally(names: tuple[str, ...]) -> str:
    kinds = dict.fromkeys(names)
    return ", ".join(f"{names.count(name)} {name}" for name in kinds)
