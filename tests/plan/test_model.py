from __future__ import annotations

from typing import Any

import pytest

from forge.plan.model import (
    attention_flops_per_token,
    matmul_flops_per_token,
    model_flops_per_token,
    plan_model,
)
from forge.plan.types import ModelPlan
from forge.resources import data_dir
from tests.plan.specs import composed

OPTIONS = sorted(file.stem for file in (data_dir("conf") / "model").glob("*.yaml"))


def _model(*overrides: str) -> ModelPlan:
    values, _ = composed(*overrides)
    return plan_model(values["model"], values["tokenizer"]["vocab_size"], values["train"]["sequence_length"])


def _real(model: ModelPlan) -> Any:
    """Return transformers' own model, without memory for its weights."""
    import torch
    import transformers

    from forge.engine.model import build_config

    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(build_config(model))


@pytest.mark.parametrize("option", OPTIONS)
def test_parameters_are_those_of_the_real_model(option: str) -> None:
    model = _model(f"model={option}")
    assert model.parameters == sum(weight.numel() for weight in _real(model).parameters())


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.tied_embeddings=false",),
        ("model.head_dim=48",),
        ("model.kv_heads=6",),
        ("model=mixtral_8x1b", "model.layers=2", "model.experts=5", "model.experts_per_token=3"),
        ("tokenizer=bpe_4k",),
        ("model=qwen3_moe_7m", "model.layers=3", "model.experts=5", "model.head_dim=80"),
    ],
)
def test_parameters_follow_the_shape(overrides: tuple[str, ...]) -> None:
    model = _model(*overrides)
    assert model.parameters == sum(weight.numel() for weight in _real(model).parameters())


def test_a_dense_model_is_active_as_a_whole_and_a_mixture_in_part() -> None:
    dense, mixture = _model("model=llama_1b"), _model("model=mixtral_8x1b")
    assert dense.active_parameters == dense.parameters
    unused = mixture.experts - mixture.experts_per_token
    expert = 3 * mixture.hidden_size * mixture.intermediate_size
    assert mixture.parameters - mixture.active_parameters == mixture.layers * unused * expert


def test_flops_are_those_of_the_matrix_products_of_the_real_model() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from forge.engine.model import build_model

    model, tokens = _model("model=llama_3m", "tokenizer=bpe_4k"), 64
    network = build_model(model, seed=0)
    with FlopCounterMode(display=False) as counter:
        network(input_ids=torch.zeros(1, tokens, dtype=torch.int64), use_cache=False).logits.sum().backward()
    products = sum(
        flops
        for name, flops in counter.get_flop_counts()["Global"].items()
        if name in (torch.ops.aten.mm, torch.ops.aten.addmm)
    )
    assert matmul_flops_per_token(model) * tokens == pytest.approx(products, rel=0.01)


def test_attention_flops_grow_with_the_sequence_and_the_rest_does_not() -> None:
    model = _model("model=llama_1b")
    assert attention_flops_per_token(model, 4096) == 2 * attention_flops_per_token(model, 2048)
    for length in (512, 8192):
        expected = matmul_flops_per_token(model) + attention_flops_per_token(model, length)
        assert model_flops_per_token(model, length) == expected
