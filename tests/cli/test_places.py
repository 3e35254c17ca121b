"""Every complaint of the compiler stands at the place of the value that caused it, and says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forge.cli.compiling import compile_overrides
from forge.errors import SpecError
from tests.plan.specs import LAPTOP
from tests.plan.test_bad_input import BAD

LARGE = ("recipe=legal_7b", "hardware=8xh100")


def complaints(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as refused:
        compile_overrides(overrides, LAPTOP, needs_data=False)
    return refused.value.lines


@pytest.mark.parametrize(("overrides", "_said"), BAD, ids=[" ".join(overrides) for overrides, _ in BAD])
def test_bad_input_stands_at_a_place(overrides: tuple[str, ...], _said: str) -> None:
    for line in complaints(*overrides):
        assert re.match(r"(command line|conf/\S+:\d+|recipes/\S+:\d+|hardware=\S+): \S", line), line


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("train.global_batch_tokens=4096",),
            "train.global_batch_tokens: a batch of one sequence (of 4096 tokens) is not what 8 devices can share "
            "equally: use 32768",
        ),
        (
            ("train.global_batch_tokens=81920",),
            "train.global_batch_tokens: a batch of 20 sequences (of 4096 tokens) is not what 8 devices can share "
            "equally: use 65536 or 98304",
        ),
        (
            ("engine.micro_batch_sequences=1000",),
            "engine.micro_batch_sequences: 1000 does not divide the 128 sequences that each of 8 devices takes of a "
            "global batch: use 128, or auto",
        ),
        (
            ("engine.gradient_accumulation_steps=5",),
            "engine.gradient_accumulation_steps: 5 does not divide the 128 sequences that each of 8 devices takes of "
            "a global batch: use 4 or 8, or auto",
        ),
        (
            ("engine.gradient_accumulation_steps=4", "engine.micro_batch_sequences=3"),
            "engine.gradient_accumulation_steps: 4 micro-batches of 3 are not the 128 sequences that each of 8 devices "
            "takes of a global batch: leave one of the two auto",
        ),
        (
            ("hardware=cpu", "engine.gradient_accumulation_steps=5"),
            "engine.gradient_accumulation_steps: 5 does not divide the 1024 sequences of a global batch: "
            "use 4 or 8, or auto",
        ),
        (
            ("engine.offload_parameters=cpu", "engine.zero_stage=1"),
            "engine.offload_parameters: parameters are offloaded by ZeRO stage 3 alone: use engine.zero_stage=3, "
            "or engine.offload_parameters=none",
        ),
        (
            ("engine.offload_parameters=cpu", "engine.offload_optimizer=none"),
            "engine.offload_parameters: parameters are not offloaded without the optimizer: "
            "use engine.offload_optimizer=cpu, or engine.offload_parameters=none",
        ),
        (
            ("engine.hpz_partition_size=5",),
            "engine.hpz_partition_size: 5 does not divide the 8 devices: use 4 or 8, or auto",
        ),
        (
            ("engine.hpz_partition_size=4", "engine.zero_stage=1"),
            "engine.hpz_partition_size: parameters are partitioned by ZeRO stage 3 alone: use engine.zero_stage=3, "
            "or engine.hpz_partition_size=1",
        ),
        (
            ("hardware=8xv100", "train.precision=bf16"),
            "train.precision: v100-sxm-32gb does not multiply bf16: use train.precision=fp16, or fp32",
        ),
        (
            ("hardware=8xv100", "train.budget_usd=100"),
            "train.budget_usd: hardware=8xv100 has no price: give hardware.usd_per_gpu_hour, or train.hours",
        ),
        (
            ("data.path=[a,b]", "data.source_weights=[1]"),
            "data.source_weights: 1 weights for 2 sources of data.path: give one for each",
        ),
    ],
)
def test_a_complaint_says_where_what_and_what_to_do(
    overrides: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / name).write_text("words")
    hardware = () if overrides[0].startswith("hardware=") else LARGE[1:]
    assert complaints(LARGE[0], *hardware, *overrides) == (f"command line: {line}",)


def test_a_budget_that_pays_for_nothing_is_compared_with_a_step() -> None:
    (line,) = complaints(*LARGE, "train.budget_usd=0.01")
    assert re.fullmatch(
        r"command line: train\.budget_usd: \$0\.01 does not pay for one step, \d+\.\d s and \$0\.\d+ on "
        r"hardware=8xh100: raise it, or lower train\.global_batch_tokens",
        line,
    ), line
    (line,) = complaints(*LARGE, "train.hours=0.001")
    assert re.fullmatch(
        r"command line: train\.hours: 0\.001 h does not pay for one step, \d+\.\d s on "
        r"hardware=8xh100: raise it, or lower train\.global_batch_tokens",
        line,
    ), line


def test_a_value_of_a_recipe_is_complained_of_where_it_stands() -> None:
    (line,) = complaints("recipe=legal_7b", "hardware=8xh100", "hardware.gpus_per_node=3")
    assert re.match(
        r"recipes/legal_7b\.yaml:\d+: train\.global_batch_tokens: a batch of 1024 sequences", line
    ), line
