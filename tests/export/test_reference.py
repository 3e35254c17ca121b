from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from forge.export.compare_models import compare_weights
from forge.export.reference import checkpoint_dtype, checkpoint_tensors, reference_model
from tests.export.artifacts import FAMILIES, MIXTRAL, planned, write_model


@pytest.mark.parametrize("shape", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_agrees_with_the_loader_of_transformers(
    shape: dict[str, object], dtype: torch.dtype, tmp_path: Path
) -> None:
    write_model(tmp_path, planned(shape).model, torch.float32)
    tensors = checkpoint_tensors(tmp_path)
    assert checkpoint_dtype(tensors) == torch.float32
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert compare_weights(reference_model(tmp_path, tensors, dtype), loaded) > 20


def test_experts_in_another_order_are_another_model(tmp_path: Path) -> None:
    write_model(tmp_path, planned(MIXTRAL).model, torch.float32)
    tensors = checkpoint_tensors(tmp_path)
    first, second = (f"model.layers.0.block_sparse_moe.experts.{expert}.w1.weight" for expert in (0, 1))
    swapped = tensors | {first: tensors[second], second: tensors[first]}
    names = ("model.layers.0.mlp.experts.gate_up_proj", "model.layers.0.mlp.experts.down_proj")
    left = reference_model(tmp_path, tensors, torch.float32).state_dict()
    right = reference_model(tmp_path, swapped, torch.float32).state_dict()
    assert [torch.equal(left[name], right[name]) for name in names] == [False, True]


@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.1.mlp.up_proj.weight"])
def test_weights_that_do_not_fit_are_named(name: str, tmp_path: Path) -> None:
    write_model(tmp_path, planned().model)
    tensors = checkpoint_tensors(tmp_path)
    lost = tensors.pop(name)
    with pytest.raises(ValueError, match=name):
        reference_model(tmp_path, tensors, torch.bfloat16)
    with pytest.raises(ValueError, match=r"strange\.weight"):
        reference_model(tmp_path, tensors | {name: lost, "strange.weight": lost}, torch.bfloat16)


def test_two_dtypes_are_not_one() -> None:
    with pytest.raises(ValueError, match="2 dtypes"):
        checkpoint_dtype({"a": torch.zeros(1), "b": torch.zeros(1, dtype=torch.bfloat16)})
