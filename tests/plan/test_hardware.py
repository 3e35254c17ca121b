from __future__ import annotations

from dataclasses import replace

import pytest

from forge.errors import FitError, SpecError
from forge.plan.hardware import GIB, Hardware, check_runnable, resolve_hardware
from forge.plan.machine import Machine
from tests.plan.specs import LAPTOP, composed

H100_NAME = "NVIDIA H100 80GB HBM3"


def _hardware(*overrides: str, machine: Machine = LAPTOP) -> Hardware:
    values, name = composed(*overrides)
    return resolve_hardware(values["hardware"], name, machine)


def _with_gpus(*names: str, memory_gib: float = 80) -> Machine:
    return replace(LAPTOP, gpu_names=names, gpu_memory_bytes=int(memory_gib * GIB))


def test_local_without_gpu_is_the_cores_of_this_machine() -> None:
    hardware = _hardware("hardware=local", machine=replace(LAPTOP, cores=6))
    assert (hardware.device, hardware.world_size, hardware.threads_per_process) == ("cpu", 1, 6)
    assert hardware.device_memory_bytes == LAPTOP.memory_bytes


def test_cpu_is_the_same_wherever_it_is_compiled() -> None:
    big = Machine(96, 900 * GIB, True, (H100_NAME,), 80 * GIB)
    assert _hardware("hardware=cpu", machine=big) == _hardware("hardware=cpu", machine=LAPTOP)


def test_processes_on_a_cpu_share_cores_and_memory() -> None:
    hardware = _hardware("hardware=local", "hardware.cpu_processes=2", machine=replace(LAPTOP, cores=6))
    assert (hardware.world_size, hardware.threads_per_process) == (2, 3)
    assert hardware.device_memory_bytes == LAPTOP.memory_bytes // 2


def test_local_with_known_gpus_is_their_chip() -> None:
    hardware = _hardware("hardware=local", machine=_with_gpus(H100_NAME, H100_NAME, memory_gib=79))
    assert (hardware.gpu, hardware.world_size) == ("h100-sxm-80gb", 2)
    assert hardware.device_memory_bytes == 79 * GIB
    assert hardware.peak_flops == 989e12


def test_local_with_an_unknown_gpu_says_which_numbers_to_give() -> None:
    with pytest.raises(SpecError) as caught:
        _hardware("hardware=local", machine=_with_gpus("NVIDIA GeForce GTX 1080"))
    (line,) = caught.value.lines
    assert line.startswith(
        "hardware=local: this machine has NVIDIA GeForce GTX 1080, which forge does not know: give "
    )
    for key in (
        "peak_bf16_tflops",
        "measured_matmul_tflops",
        "hbm_tb_per_s",
        "gpu_link_gb_per_s",
        "node_link_gb_per_s",
    ):
        assert f"hardware.{key}" in line


def test_an_unknown_gpu_with_its_numbers_given_is_known() -> None:
    hardware = _hardware(
        "hardware=local",
        "hardware.peak_bf16_tflops=100",
        "hardware.measured_matmul_tflops=80",
        "hardware.hbm_tb_per_s=1.0",
        "hardware.gpu_link_gb_per_s=31",
        "hardware.node_link_gb_per_s=50",
        machine=_with_gpus("NVIDIA GeForce GTX 1080", memory_gib=8),
    )
    assert hardware.peak_flops == 100e12
    assert hardware.device_memory_bytes == 8 * GIB


def test_a_collective_over_nodes_is_as_fast_as_its_slowest_link() -> None:
    one = _hardware("hardware=8xh100")
    assert one.link_bytes_per_s == one.gpu_link_bytes_per_s
    two = replace(one, nodes=2)
    assert two.link_bytes_per_s == two.node_link_bytes_per_s / 8 < one.link_bytes_per_s


def test_a_plan_for_gpus_does_not_run_without_them() -> None:
    with pytest.raises(FitError) as caught:
        check_runnable(_hardware("hardware=8xh100"), LAPTOP)
    assert caught.value.exit_code == 3
    assert caught.value.lines == (
        "hardware=8xh100: needs 8 h100-sxm-80gb a node, this machine has no GPU: run it there, "
        "or choose hardware=local",
    )


def test_a_plan_runs_on_the_gpus_it_is_for_and_not_on_others() -> None:
    check_runnable(_hardware("hardware=1xh100"), _with_gpus(H100_NAME))
    with pytest.raises(FitError, match="this machine has 1 NVIDIA A100-SXM4-80GB"):
        check_runnable(_hardware("hardware=1xh100"), _with_gpus("NVIDIA A100-SXM4-80GB"))
    with pytest.raises(FitError, match="needs 8 h100"):
        check_runnable(_hardware("hardware=8xh100"), _with_gpus(*[H100_NAME] * 4))


def test_a_plan_for_many_threads_does_not_run_on_few_cores() -> None:
    hardware = _hardware("hardware=cpu", "hardware.threads_per_process=64")
    with pytest.raises(FitError, match="computes with 64 threads, this machine has 2 cores"):
        check_runnable(hardware, LAPTOP)
    check_runnable(_hardware("hardware=cpu"), LAPTOP)
