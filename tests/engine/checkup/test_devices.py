from __future__ import annotations

from dataclasses import replace

import pytest

from forge.engine.checkup import devices
from forge.engine.checkup.devices import Gpu, Torch
from forge.plan.machine import Machine

GIB = 1024**3
H100 = Gpu("NVIDIA H100", "sm_90", 79 * GIB, 80 * GIB)
CUDA = Torch("2.13.0", "CUDA 13.0", ("sm_80", "sm_90", "compute_120"), (H100, H100), "", "2.27.3")
MACHINE = Machine(8, 64 * GIB, True, ("NVIDIA H100", "NVIDIA H100"), 80 * GIB)


def states(machine: Machine, torch: Torch) -> dict[str, str]:
    return {finding.what: finding.state for finding in devices.devices(machine, torch)}


def test_two_gpus_in_order() -> None:
    assert states(MACHINE, CUDA) == {"GPUs": "good", "GPU memory": "good", "links": "good"}
    assert devices.devices(MACHINE, CUDA)[0].found == "2 NVIDIA H100, torch 2.13.0 for CUDA 13.0"


def test_a_machine_without_gpus_is_advised() -> None:
    none = replace(CUDA, toolkit=None, gpus=(), nccl=None)
    assert states(replace(MACHINE, gpu_names=()), none) == {"GPUs": "advice"}


def test_a_torch_without_cuda_beside_gpus_is_a_fault() -> None:
    (finding,) = devices.devices(MACHINE, replace(CUDA, toolkit=None, gpus=(), nccl=None))
    assert finding.state == "fault"
    assert "a build without GPUs" in finding.found


def test_a_driver_that_is_too_old_is_a_fault_in_torch_own_words() -> None:
    (finding,) = devices.devices(MACHINE, replace(CUDA, gpus=(), refusal="The NVIDIA driver is too old"))
    assert finding.state == "fault"
    assert "The NVIDIA driver is too old" in finding.found


@pytest.mark.parametrize(
    ("architecture", "state"),
    [("sm_90", "good"), ("sm_89", "good"), ("sm_75", "fault"), ("sm_121", "good"), ("gfx942", "good")],
)
def test_a_gpu_without_code_for_it_is_a_fault(architecture: str, state: str) -> None:
    gpu = replace(H100, architecture=architecture)
    assert states(MACHINE, replace(CUDA, gpus=(gpu, gpu)))["GPUs"] == state


def test_memory_that_others_hold_names_the_gpu() -> None:
    findings = devices.devices(MACHINE, replace(CUDA, gpus=(H100, replace(H100, free_bytes=40 * GIB))))
    memory = next(finding for finding in findings if finding.what == "GPU memory")
    assert memory.state == "advice"
    assert "GPU 1 " in memory.remedy


def test_gpus_that_cannot_work_together_are_a_fault() -> None:
    assert states(MACHINE, replace(CUDA, nccl=None))["links"] == "fault"
    assert states(replace(MACHINE, nvlinked=False), CUDA)["links"] == "advice"


def test_a_missing_compiler_is_named() -> None:
    finding = devices.compilers(which=lambda name: None)
    assert finding.state == "advice"
    assert "g++" in finding.remedy


def test_a_toolkit_of_another_generation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, state in (("12.8", "advice"), ("13.1", "good"), (None, "advice")):
        monkeypatch.setattr(devices, "_nvcc_version", lambda version=version: version)
        finding = devices.toolkit(CUDA)
        assert finding is not None
        assert finding.state == state
    assert devices.toolkit(replace(CUDA, gpus=())) is None


def test_an_op_that_cannot_be_built_is_advice_that_names_what_is_missing_and_which_plans_need_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CC", "false")  # a compiler that finds no library
    findings = {finding.what: finding for finding in devices.deepspeed_ops()}
    assert set(findings) == {"DeepSpeed cpu_adam", "DeepSpeed async_io"}
    lacking = findings["DeepSpeed async_io"]
    assert (lacking.state, lacking.found) == ("advice", "can't be built here")
    assert (
        lacking.remedy
        == "install libaio-dev (libaio-devel); plans with engine.offload_optimizer=nvme need it"
    )
