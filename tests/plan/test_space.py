from __future__ import annotations

import pytest

from forge.errors import SpecError
from forge.plan.hardware import resolve_hardware
from forge.plan.space import Space, layout_space
from tests.plan.specs import LAPTOP, composed


def _space(*overrides: str) -> Space:
    values, name = composed(*overrides)
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    return layout_space(hardware, values["engine"], values["train"])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("hardware=8xh100", "train.global_batch_tokens=12288"),
            "train.global_batch_tokens: a batch of 12 sequences (of 1024 tokens) is not what 8 devices can share "
            "equally: use 8192 or 16384",
        ),
        (
            ("hardware=8xh100", "engine.micro_batch_sequences=3"),
            "engine.micro_batch_sequences: 3 does not divide the 8 sequences that each of 8 devices takes of a global "
            "batch: use 2 or 4, or auto",
        ),
        (
            ("hardware=8xh100", "engine.gradient_accumulation_steps=3"),
            "engine.gradient_accumulation_steps: 3 does not divide the 8 sequences that each of 8 devices takes of a "
            "global batch: use 2 or 4, or auto",
        ),
        (
            ("hardware=8xh100", "engine.micro_batch_sequences=2", "engine.gradient_accumulation_steps=2"),
            "engine.gradient_accumulation_steps: 2 micro-batches of 2 are not the 8 sequences that each of 8 devices "
            "takes of a global batch: leave one of the two auto",
        ),
        (
            ("hardware=8xh100", "engine.offload_optimizer=nvme", "engine.zero_stage=2"),
            "engine.offload_optimizer: DeepSpeed swaps to NVMe at ZeRO stage 3 alone: use engine.zero_stage=3, or "
            "engine.offload_optimizer=cpu",
        ),
        (
            ("hardware=8xh100", "engine.offload_parameters=cpu", "engine.zero_stage=2"),
            "engine.offload_parameters: parameters are offloaded by ZeRO stage 3 alone: use engine.zero_stage=3, "
            "or engine.offload_parameters=none",
        ),
        (
            ("hardware=8xh100", "engine.offload_parameters=cpu", "engine.offload_optimizer=none"),
            "engine.offload_parameters: parameters are not offloaded without the optimizer: "
            "use engine.offload_optimizer=cpu, or engine.offload_parameters=none",
        ),
        (
            ("hardware=cpu", "engine.offload_optimizer=cpu"),
            "engine.offload_optimizer: hardware=cpu has no GPU to offload from: use engine.offload_optimizer=none",
        ),
        (
            ("hardware=8xh100", "engine.hpz_partition_size=3"),
            "engine.hpz_partition_size: 3 does not divide the 8 devices: use 2 or 4, or auto",
        ),
        (
            ("hardware=16xh100", "engine.hpz_partition_size=8", "engine.zero_stage=2"),
            "engine.hpz_partition_size: parameters are partitioned by ZeRO stage 3 alone: use engine.zero_stage=3, "
            "or engine.hpz_partition_size=1",
        ),
        (
            ("hardware=8xh100", "engine.sequence_parallel_degree=3"),
            "engine.sequence_parallel_degree: 3 does not divide the 8 devices: use 2 or 4",
        ),
        (
            ("hardware=cpu", "engine.attention=flash"),
            "engine.attention: hardware=cpu has no GPU for flash-attn: use engine.attention=sdpa",
        ),
        (
            ("hardware=8xv100", "train.precision=bf16"),
            "train.precision: v100-sxm-32gb does not multiply bf16: use train.precision=fp16, or fp32",
        ),
        (
            ("hardware=cpu", "train.precision=fp16"),
            "train.precision: DeepSpeed has no fp16 on a CPU: use train.precision=bf16, or fp32",
        ),
        (
            ("hardware=8xv100", "train.optimizer_states=bf16"),
            "train.optimizer_states: bf16 states go with bf16 weights, and these are fp32: "
            "use train.optimizer_states=fp32",
        ),
        (
            ("hardware=8xh100", "train.optimizer_states=bf16", "engine.offload_optimizer=nvme"),
            "engine.offload_optimizer: DeepSpeed swaps fp32 states only: use train.optimizer_states=fp32, or "
            "engine.offload_optimizer=cpu",
        ),
        (
            ("hardware=8xh100", "engine.zero_stage=0"),
            "engine.zero_stage: ZeRO stage 0 in bf16 takes a wrong first step in DeepSpeed 0.19: "
            "use engine.zero_stage=1, or train.precision=fp32",
        ),
    ],
)
def test_a_pin_that_cannot_be_is_one_line(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        _space(*overrides)
    assert caught.value.lines == (line,)


def test_all_pins_that_cannot_be_are_named_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        _space("hardware=cpu", "engine.offload_optimizer=nvme", "engine.sequence_parallel_degree=2")
    assert len(caught.value.lines) == 2


def test_every_micro_batch_makes_up_the_global_batch() -> None:
    space = _space("hardware=8xh100", "train.global_batch_tokens=7372800")
    assert [size for size, _ in space.micro_batches] == [n for n in range(1, 901) if 900 % n == 0]
    assert all(size * steps == 900 for size, steps in space.micro_batches)


def test_a_huge_global_batch_is_no_huge_search() -> None:
    space = _space(
        "hardware=1xh100", "train.global_batch_tokens=1000000000000", "train.tokens=null", "train.steps=1"
    )
    assert len(space.micro_batches) < 100


def test_a_pin_leaves_one_value() -> None:
    space = _space(
        "hardware=8xh100", "engine.zero_stage=2", "engine.loss_chunks=3", "engine.bucket_bytes=5000000"
    )
    assert {shape.zero_stage for shape in space.shapes} == {2}
    assert {shape.loss_chunks for shape in space.shapes} == {3}
    assert {shape.bucket_bytes for shape in space.shapes} == {5_000_000}


def test_a_second_copy_within_machines_is_offered_where_there_are_several() -> None:
    assert {shape.hpz_partition_size for shape in _space("hardware=8xh100").shapes} == {1}
    assert {shape.hpz_partition_size for shape in _space("hardware=16xh100").shapes} == {1, 8}
