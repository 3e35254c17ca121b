"""Plans in fp8: which products are made in it, what the plan says of them, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge.errors import SpecError
from forge.plan.fp8 import LINEAR_SPEEDUP, fp8_linears, gains_by_fp8, linear_time_ratio
from forge.plan.memory import peak_bytes
from forge.plan.time import step_time
from tests.plan.specs import compiled
from tests.plan.time_cases import hardware_of, layout_of, model_of

FP8_ANYWHERE = ("+recipe=legal_7b", "train.precision=fp8", "engine.compile_layers=true")
FP8 = (*FP8_ANYWHERE, "hardware=8xh100")


@pytest.mark.parametrize(
    ("inputs", "outputs", "gains"),
    [
        (4096, 4096, True),
        (2048, 5632, True),
        (2048, 4096, False),
        (4096, 2048, False),
        (1024, 8192, False),
        (4096, 4104, False),
        (4104, 4096, False),
    ],
)
def test_large_matrices_gain(inputs: int, outputs: int, gains: bool) -> None:
    assert gains_by_fp8(inputs, outputs) is gains


def test_of_a_model_of_width_2048_only_the_wide_matrices_do() -> None:
    model = replace(model_of(), hidden_size=2048, attention_heads=32, kv_heads=4, head_dim=64)
    model = replace(model, intermediate_size=5632)
    assert fp8_linears(model) == ("gate_proj", "up_proj")
    assert linear_time_ratio(model, "gate_proj", "up_proj") == pytest.approx(1 / LINEAR_SPEEDUP)
    assert linear_time_ratio(model, "q_proj", "k_proj", "v_proj") == 1


def test_narrow_keys_and_values_stay_in_bf16_and_take_their_share_of_the_time() -> None:
    model = replace(model_of(), hidden_size=4096, attention_heads=32, kv_heads=8, head_dim=128)
    assert {"q_proj", "o_proj"} <= set(fp8_linears(model))
    assert not {"k_proj", "v_proj"} & set(fp8_linears(model))
    assert linear_time_ratio(model, "q_proj", "k_proj", "v_proj") == pytest.approx(
        (4096 / LINEAR_SPEEDUP + 2048) / 6144
    )


def test_linear_products_are_faster_and_nothing_else_changes() -> None:
    model, hardware = model_of(), hardware_of()
    layouts = [layout_of(precision=precision, compile_layers=True) for precision in ("bf16", "fp8")]
    bf16, fp8 = (step_time(model, layout, hardware, 4096) for layout in layouts)
    assert 1 < bf16.matmul_s / fp8.matmul_s < LINEAR_SPEEDUP
    assert replace(fp8, matmul_s=bf16.matmul_s) == bf16
    assert len({peak_bytes(model, layout, hardware, 4096) for layout in layouts}) == 1


def test_a_published_run_is_as_much_faster_as_it_was() -> None:
    """torchtitan, commit 069bae286, Llama-3-8B on 8 H100: 5,760 tokens/s in bf16, 6,468 in fp8 by rows."""
    model = replace(model_of(), layers=32, hidden_size=4096, attention_heads=32, kv_heads=8, head_dim=128)
    model = replace(model, intermediate_size=14336, vocab_size=128256)
    bf16, fp8 = (
        step_time(model, layout_of(precision=precision, zero_stage=2), hardware_of(), 8192).total_s
        for precision in ("bf16", "fp8")
    )
    assert bf16 / fp8 == pytest.approx(6468 / 5760, abs=0.04)


def test_all_but_products_is_as_in_bf16() -> None:
    fp8, bf16 = compiled(*FP8), compiled(*FP8, "train.precision=bf16")
    assert fp8.layout.precision == "fp8"
    assert fp8.deepspeed == bf16.deepspeed
    assert fp8.stage("export").parameters["dtype"] == "bf16"
    assert fp8.estimates.disk == bf16.estimates.disk
    assert fp8.estimates.memory == bf16.estimates.memory
    assert fp8.estimates.step_time_s < bf16.estimates.step_time_s
    assert fp8.stage("train").key != bf16.stage("train").key
    assert fp8.stage("tokens").key == bf16.stage("tokens").key
    assert compiled(*FP8, "train.optimizer_states=bf16").layout.precision == "fp8"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("hardware=8xa100",),
            "a100-sxm-80gb does not multiply fp8: use train.precision=bf16, or GPUs of Ada, Hopper or Blackwell",
        ),
        (
            ("hardware=8xv100",),
            "v100-sxm-32gb does not multiply fp8: use train.precision=fp16, or GPUs of Ada, Hopper or Blackwell",
        ),
        (
            ("hardware=cpu",),
            "hardware=cpu does not multiply fp8: use train.precision=bf16, or GPUs of Ada, Hopper or Blackwell",
        ),
        (
            ("hardware=8xh100", "engine.compile_layers=false"),
            "fp8 is slower than bf16 unless a compiler fuses its casts: use engine.compile_layers=true, or "
            "train.precision=bf16",
        ),
        (
            ("hardware=8xh100", "model=llama_125m"),
            "no matrix of a layer is large enough to gain by fp8 (more than 1024 inputs and 2048 outputs): use "
            "train.precision=bf16",
        ),
        (
            ("hardware=8xh100", "train.sequence_length=1000", "train.global_batch_tokens=800000"),
            "fp8 takes tokens by 16, and a sequence has 1000: make train.sequence_length a multiple of 16, or use "
            "train.precision=bf16",
        ),
    ],
)
def test_what_cannot_gain_is_refused_in_one_line(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(*FP8_ANYWHERE, *overrides)
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].endswith(f"train.precision: {line}")


def test_stage_0_takes_a_wrong_first_step_in_fp8_too() -> None:
    with pytest.raises(SpecError, match="ZeRO stage 0 in fp8 takes a wrong first step"):
        compiled(*FP8, "engine.zero_stage=0")
