from __future__ import annotations

from dataclasses import replace

import pytest

from forge.errors import FitError, SpecError
from forge.plan.hardware import GIB, Hardware, check_runnable, resolve_hardware
from forge.plan.machine import Machine
from forge.resources import data_dir
from tests.plan.specs import LAPTOP, composed

H100_NAME = "NVIDIA H100 80GB HBM3"
CHIPS = sorted(file.stem.removeprefix("_") for file in (data_dir("conf") / "hardware").glob("_*.yaml"))


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


def test_gpus_of_several_kinds_are_refused() -> None:
    with pytest.raises(SpecError, match=r"GPUs of several kinds .* CUDA_VISIBLE_DEVICES"):
        _hardware("hardware=local", machine=_with_gpus(H100_NAME, "NVIDIA A10G"))


def test_a_gpu_whose_memory_is_not_told_is_refused_until_it_is_given() -> None:
    machine = _with_gpus("NVIDIA A10G", memory_gib=0)
    with pytest.raises(SpecError, match=r"does not say how much memory .*give hardware.gpu_memory_gib"):
        _hardware("hardware=local", machine=machine)
    assert (
        _hardware("hardware=local", "hardware.gpu_memory_gib=22", machine=machine).device_memory_bytes
        == 22 * GIB
    )


def test_gpus_that_nvlink_does_not_join_share_pcie() -> None:
    machine = replace(_with_gpus(H100_NAME, H100_NAME), nvlinked=False)
    assert _hardware("hardware=local", machine=machine).gpu_link_bytes_per_s == 31e9
    given = _hardware("hardware=local", "hardware.gpu_link_gb_per_s=50", machine=machine)
    assert given.gpu_link_bytes_per_s == 50e9


@pytest.mark.parametrize(
    ("driver_says", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie-80gb"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200-sxm-141gb"),
        ("NVIDIA B200", "b200-sxm"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("Tesla V100-SXM2-32GB", "v100-sxm-32gb"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ],
)
def test_a_chip_is_known_by_what_its_driver_calls_it(driver_says: str, gpu: str) -> None:
    hardware = _hardware("hardware=local", machine=_with_gpus(driver_says))
    assert hardware.gpu == gpu
    check_runnable(hardware, _with_gpus(driver_says))


@pytest.mark.parametrize("chip", CHIPS)
def test_every_chip_is_described_whole_and_within_physics(chip: str) -> None:
    hardware = _hardware(f"hardware=8x{chip}")
    assert hardware.world_size == 8
    assert 0 < hardware.matmul_flops["fp32"] < hardware.matmul_flops["bf16"] < hardware.peak_flops < 1e16
    assert 0.3e12 < hardware.memory_bytes_per_s < 20e12
    assert 16 * GIB < hardware.device_memory_bytes < 512 * GIB
    assert hardware.host_memory_bytes > 2 * hardware.device_memory_bytes
    assert hardware.node_link_bytes_per_s <= 8 * hardware.gpu_link_bytes_per_s
    assert hardware.disk_bytes is not None
    assert 100 <= (hardware.power_watts or 0) <= 1500
    values, _ = composed(f"hardware=8x{chip}")
    assert (values["hardware"]["usd_per_gpu_hour"] is None) == (values["hardware"]["price_source"] is None)


def test_chips_agree_with_the_published_table_where_both_speak() -> None:
    assert _hardware("hardware=8xh100").matmul_flops["bf16"] == 794.5e12
    assert _hardware("hardware=8xmi300x").matmul_flops["bf16"] == 668.4e12
    assert _hardware("hardware=8xb200").memory_bytes_per_s == 8e12


def test_the_part_of_a_machine_has_its_part_of_memory() -> None:
    whole, half = _hardware("hardware=8xh100"), _hardware("hardware=4xh100")
    assert half.host_memory_bytes * 2 == whole.host_memory_bytes
    many = _hardware("hardware=64xh100")
    assert (many.nodes, many.world_size) == (8, 64)
    assert many.host_memory_bytes == whole.host_memory_bytes


def test_a_v100_has_no_bf16() -> None:
    hardware = _hardware("hardware=8xv100")
    assert not hardware.native_bf16
    assert hardware.matmul_flops["fp32"] == 15.7e12


def test_emulated_bf16_is_slower_than_fp32() -> None:
    emulated = _hardware("hardware=local", machine=replace(LAPTOP, has_native_bf16=False)).matmul_flops
    native = _hardware("hardware=local", machine=LAPTOP).matmul_flops
    assert emulated["bf16"] < emulated["fp32"] == native["fp32"] < native["bf16"]


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
