"""Rows in the style of sources that no constant was fitted to: a rate the chip can reach, or a reason."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cells import UnusableRowError
from benchmarks.estimates import fit_report, rate_report
from benchmarks.fits import needed_bytes
from benchmarks.predict import tokens_per_s_per_gpu
from benchmarks.rows import Row, parse_row
from forge.plan.model import attention_flops_per_token, matmul_flops_per_token
from tests.benchmarks.published import COLUMNS, cells, write_rows

SHAPE = "model params_total layers hidden heads kv_heads ffn vocab tied moe_experts moe_topk".split()
MODELS = {
    "1b": "nanotron-1b 1235814400 16 2048 32 8 8192 128256 True",
    "8b": "llama3-8b 8030261248 32 4096 32 8 14336 128256 False",
    "70b": "llama3-70b 70553706496 80 8192 64 8 28672 128256 False",
    "7b": "llama2-7b 6738415616 32 4096 32 32 11008 32000 False",
    "qwen": "qwen2.5-7b 7615616512 28 3584 28 4 18944 152064 False",
    "mpt": "mpt-7b 6658859008 32 4096 32 32 16384 50368 True",
    "mixtral": "mixtral-8x7b 46702792704 32 4096 32 8 14336 32000 False 8 2",
    "a3b": "qwen3-30b-a3b 30532122624 48 2048 32 4 768 151936 False 128 8",
    "gpt2": "gpt2-124m 124475904 12 768 12 12 3072 50304 True",
    "tiny": "tinyllama-1.1b 1100048384 22 2048 32 4 5632 32000 False",
}
BLANK = dict.fromkeys(
    ("params_total", "global_batch_seqs", "grad_accum", "act_ckpt", "attention", "compile"), ""
)


def unseen(model: str, **changes: str) -> dict[str, str]:
    """Return a row of a model; what is not said is blank."""
    return cells(**{**BLANK, **dict(zip(SHAPE, MODELS[model].split(), strict=False)), **changes})


def nanotron(gpus: str, sharding: str, micro_batch: str, global_batch: str) -> dict[str, str]:
    return unseen(
        "1b", source="nanotron", framework="nanotron", n_gpus=gpus, sharding=sharding,
        micro_batch_per_gpu=micro_batch, global_batch_seqs=global_batch,
    )  # fmt: skip


def bridge(model: str, hardware: str, gpus: str, precision: str, **changes: str) -> dict[str, str]:
    named = {"source": "megatron-bridge", "framework": "Megatron-Bridge 25.09", "sharding": "distopt"}
    batch = {"micro_batch_per_gpu": "1", "global_batch_seqs": "128", "seq_len": "8192"}
    hardware_cells = {"hardware": hardware, "n_gpus": gpus, "precision": precision}
    return unseen(model, **{**named, **batch, **hardware_cells, **changes})


def tuned(
    model: str, framework: str, hardware: str, gpus: str, sharding: str, **changes: str
) -> dict[str, str]:
    named = {"source": framework, "framework": framework, "hardware": hardware, "n_gpus": gpus}
    return unseen(
        model, **{**named, "sharding": sharding, "act_ckpt": "full", "micro_batch_per_gpu": "2", **changes}
    )


USABLE = {
    "nanotron zero0": nanotron("8", "zero0", "4", "256"),
    "nanotron zero1": nanotron("8", "zero1", "2", "256"),
    "nanotron 64": nanotron("64", "zero1", "4", "256"),
    "nanotron 256": nanotron("256", "zero1", "1", "256"),
    "nanotron 256 zero0": nanotron("256", "zero0", "4", "1024"),
    "nanotron 512": nanotron("512", "zero1", "2", "1024"),
    "bridge bf16": bridge("8b", "h100-sxm-80gb", "8", "bf16"),
    "bridge fp8 cp": bridge("8b", "h100-sxm-80gb", "8", "fp8", sharding="distopt cp2"),
    "bridge b200": bridge("8b", "b200", "8", "bf16"),
    "bridge gb200": bridge("8b", "gb200", "8", "fp8-mx", gpus_per_node="4"),
    "bridge 70b fsdp": bridge("70b", "gb200", "64", "fp8-cs", gpus_per_node="4", sharding="fsdp"),
    "bridge 70b full": bridge("70b", "h100-sxm-80gb", "64", "bf16", sharding="fsdp", act_ckpt="full"),
    "bridge a3b": bridge("a3b", "gb200", "8", "bf16", gpus_per_node="4", micro_batch_per_gpu="4"),
    "bridge mixtral": bridge("mixtral", "b200", "64", "fp8", sharding="fsdp"),
    "xtuner mixtral": tuned("mixtral", "xtuner", "h100-sxm-80gb", "64", "fsdp", seq_len="8192"),
    "mpt": tuned("mpt", "llm-foundry", "a100-40gb", "440", "fsdp", act_ckpt="none", seq_len="2048"),
    "accelerate": tuned("7b", "HF accelerate FSDP", "a100-80gb", "16", "FULL_SHARD"),
    "axolotl l40s": tuned("8b", "axolotl", "l40s", "4", "zero3", gpus_per_node="4"),
    "ms-swift": tuned("qwen", "ms-swift", "a100-80gb", "8", "zero2", grad_accum="16"),
    "ms-swift one": tuned("qwen", "ms-swift", "a100-80gb", "1", "", grad_accum="16"),
    "torchtitan mi300x": tuned("8b", "torchtitan", "mi300x", "8", "fsdp", compile="yes", seq_len="8192"),
    "megatron mi300x": tuned("8b", "megatron-lm", "mi300x", "8", "dp8", precision="fp8", seq_len="8192"),
    "olmo mi250x": tuned("7b", "OLMo", "mi250x", "512", "fsdp", seq_len="2048"),
    "4090": tuned("1b", "HF trainer", "rtx-4090", "1", "none", gpus_per_node="1", grad_accum="8"),
    "3090": tuned("1b", "pytorch ddp", "rtx 3090", "2", "ddp", precision="fp16"),
    "gh200": tuned("8b", "deepspeed", "gh200-96gb", "16", "zero3", gpus_per_node="4"),
    "gh200 offload": tuned("8b", "deepspeed", "gh200", "1", "zero3 offload optimizer cpu", grad_accum="16"),
    "llm.c": tuned("gpt2", "llm.c", "a100-80gb", "8", "zero1", act_ckpt="", micro_batch_per_gpu="64", seq_len="1024"),
    "tinyllama": tuned("tiny", "lit-gpt/TinyLlama", "a100-40gb", "16", "fsdp", act_ckpt="", micro_batch_per_gpu="8"),
    "hardly anything": tuned("8b", "", "H100", "8", "", gpus_per_node="?", precision="", act_ckpt="?"),
}  # fmt: skip

REFUSED = {
    "tensor parallel": (nanotron("64", "zero1", "1", "256") | {"tp": "2"}, "tensor parallel over 2"),
    "nvfp4": (bridge("8b", "gb300", "8", "nvfp4"), "nvfp4"),
    "experts": (bridge("a3b", "h100", "16", "bf16", notes="EP=8"), "expert parallel"),
    "thousands": (tuned("8b", "x", "h100", "8", "", seq_len="8k"), "seq_len is not a number"),
    "tpu": (tuned("8b", "maxtext", "tpu-v4", "8", "fsdp"), "no such chip"),
    "a range": (tuned("8b", "x", "h100", "8", "", micro_batch_per_gpu="1-2"), "micro_batch_per_gpu"),
}


def share_of_ceiling(row: Row) -> float:
    """Return model FLOPs at the predicted rate over the chip's ceiling: twice the 16-bit one in fp8."""
    flops = matmul_flops_per_token(row.model) + attention_flops_per_token(row.model, row.sequence_length)
    ceiling = row.hardware.matmul_flops[row.layout.precision] * (2 if row.fp8 else 1)
    return tokens_per_s_per_gpu(row) * flops / ceiling


@pytest.mark.parametrize("name", USABLE)
def test_a_rate_that_the_chip_can_reach(name: str) -> None:
    row = parse_row(2, USABLE[name])
    assert 0.05 < share_of_ceiling(row) < 0.75
    assert 0 < needed_bytes(row) < 2**40


@pytest.mark.parametrize("name", REFUSED)
def test_a_row_that_is_not_a_data_parallel_run_says_why(name: str) -> None:
    row, reason = REFUSED[name]
    with pytest.raises(UnusableRowError, match=reason):
        parse_row(2, row)


def test_a_file_of_them_is_scored_and_every_row_counted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "unseen.csv", *USABLE.values(), *(row for row, _ in REFUSED.values()))
    rates, fits = rate_report(path, leave_one_out=False), fit_report(path)
    for report in (rates, fits):
        assert report["rows"] == len(USABLE)
        assert report["unusable"]["rows"] == len(REFUSED)
    assert math.isfinite(rates["p90_abs_error"])
    assert 0 < fits["approved"] < fits["rows"]


odd_cells = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1",
        "8",
        "3.5",
        "1e9",
        "1e15",
        "nan",
        "inf",
        "yes",
        "fp8",
        "zero3",
        "fsdp cp2",
        "x, y",
        "½",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(USABLE)), st.dictionaries(st.sampled_from(COLUMNS), odd_cells, max_size=6))
def test_odd_cells_never_give_an_exception_or_a_rate_above_the_ceiling(
    name: str, changes: dict[str, str]
) -> None:
    with suppress(UnusableRowError):
        row = parse_row(2, {**USABLE[name], **changes})
        assert 0 <= share_of_ceiling(row) < 1
        assert needed_bytes(row) > 0
