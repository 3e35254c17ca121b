"""What llama.cpp's quantizer chooses (benchmarks/k_quants.py runs it), for each family."""

from __future__ import annotations

from typing import Any

import pytest

from forge.export.gguf_types import GGUF_TYPES, stored_type
from tests.export.artifacts import MIXTRAL, QWEN2, planned

NINE = {"layers": 9, "hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
EIGHTY = NINE | {"layers": 80}
MORE_BITS = (0, 3, 6, 7, 8)
"""Of nine layers: the first and last eighth, and every third between."""


def chosen(name: str, kind: str, shape: dict[str, Any] | None = None, row: int = 256) -> str:
    return stored_type(name, (512, row), kind, planned(shape or NINE).model).name


@pytest.mark.parametrize("layer", range(9))
@pytest.mark.parametrize(("kind", "type_"), [("q4_k_m", "Q4_K"), ("q5_k_m", "Q5_K"), ("q6_k", "Q6_K")])
def test_some_layers_keep_values_and_outputs_in_more_bits(layer: int, kind: str, type_: str) -> None:
    more = "Q6_K" if layer in MORE_BITS else type_
    for part in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert chosen(f"blk.{layer}.{part}.weight", kind) == type_
    for part in ("attn_v", "ffn_down", "ffn_down_exps"):
        assert chosen(f"blk.{layer}.{part}.weight", kind) == more


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("token_embd.weight", {"tied_embeddings": True}, "Q6_K"),
        ("token_embd.weight", {"tied_embeddings": False}, "Q4_K"),
        ("output.weight", {"tied_embeddings": False}, "Q6_K"),
        ("blk.1.attn_v.weight", MIXTRAL | {"experts": 8}, "Q8_0"),
        ("blk.1.attn_k.weight", MIXTRAL | {"experts": 8}, "Q8_0"),
        ("blk.1.attn_output.weight", MIXTRAL | {"experts": 8}, "Q5_K"),
        ("blk.1.attn_k.weight", MIXTRAL, "Q4_K"),
        ("blk.1.ffn_gate_inp.weight", MIXTRAL, "F32"),
        ("blk.10.attn_v.weight", EIGHTY, "Q5_K"),
        ("blk.10.attn_v.weight", EIGHTY | {"kv_heads": 4}, "Q4_K"),
        ("blk.10.attn_v.weight", EIGHTY | QWEN2 | {"kv_heads": 4}, "Q5_K"),
    ],
)
def test_tensors_that_are_chosen_for_by_themselves(name: str, shape: dict[str, Any], expected: str) -> None:
    assert chosen(name, "q4_k_m", NINE | shape) == expected


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("q4_k_m", 480, "Q5_0"),
        ("q5_k_m", 480, "Q5_1"),
        ("q6_k", 480, "Q8_0"),
        ("q8_0", 480, "Q8_0"),
        ("q4_k_m", 328, "F16"),
        ("q8_0", 328, "F16"),
        ("bf16", 328, "BF16"),
    ],
)
def test_rows_that_no_block_fits_have_the_next_type_that_does(kind: str, row: int, expected: str) -> None:
    assert chosen("blk.1.attn_q.weight", kind, row=row) == expected


@pytest.mark.parametrize("kind", GGUF_TYPES)
def test_vectors_stay_in_fp32(kind: str) -> None:
    assert stored_type("blk.0.attn_norm.weight", (256,), kind, planned(NINE).model).name == "F32"
