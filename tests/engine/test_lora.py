"""LoRA: only adapters learn, a checkpoint holds them alone, and the merged weights do what weights and adapters do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from forge.engine.checkpoint_folder import checkpoint_name, read_manifest
from forge.engine.distributed import Place
from forge.engine.identity import training_id
from forge.engine.lora import LoraLinear, is_adapter, merged
from forge.engine.model import build_model
from forge.plan.types import Plan
from tests.engine.reference import reference_losses
from tests.engine.runs import (
    losses,
    make_run,
    state_of,
    train_here,
    train_in_two,
    weights,
    weights_sha256,
)
from tests.factories import tiny_plan

LOSS_BOUND = {"fp32": 5e-6, "bf16": 1e-3}

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def lora_plan(layout: dict[str, Any] | None = None, model: dict[str, Any] | None = None) -> Plan:
    adapters = {"lora_rank": 4, "lora_alpha": 8.0, "lora_target_modules": ALL}
    return tiny_plan(
        model=adapters | (model or {}), layout=layout, schedule={"weight_decay": 0.0, "learning_rate": 2e-2}
    )


@pytest.mark.parametrize(
    "model", [{}, {"family": "qwen2"}, {"family": "mixtral", "experts": 4, "lora_target_modules": ALL[:4]}]
)
def test_adapters_are_counted_and_change_nothing_at_first(model: dict[str, Any]) -> None:
    if model.get("experts"):
        model = model | {"experts_per_token": 2}
    plan = lora_plan(model=model)
    network, plain = (
        build_model(each.model, each.seed)
        for each in (plan, tiny_plan(model={k: v for k, v in model.items() if "lora" not in k}))
    )
    learnt = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert all(is_adapter(name) for name in learnt)
    assert sum(p.numel() for p in learnt.values()) == plan.model.trainable_parameters
    ids = torch.arange(20).reshape(1, 20)
    assert torch.equal(network(input_ids=ids).logits, plain(input_ids=ids).logits)
    again = dict(build_model(plan.model, plan.seed).named_parameters())
    assert all(torch.equal(again[name], p) for name, p in learnt.items())
    assert len({float(p.flatten()[0]) for name, p in learnt.items() if name.endswith("A")}) > 4


def test_an_adapter_is_the_formula() -> None:
    torch.manual_seed(0)
    layer = LoraLinear.around(torch.nn.Linear(6, 5), 2, 0.5, torch.Generator().manual_seed(1))
    torch.nn.init.normal_(layer.lora_B)
    x = torch.randn(3, 6)
    by_hand = x @ layer.weight.T + layer.bias + 0.5 * (x @ layer.lora_A.T) @ layer.lora_B.T
    assert torch.allclose(layer(x), by_hand, atol=1e-6)
    assert float(layer.lora_A.abs().max().detach()) <= 6**-0.5


@pytest.mark.parametrize(
    ("zero_stage", "precision", "checkpointing"),
    [(0, "fp32", "none"), (1, "bf16", "none"), (2, "fp32", "full"), (3, "fp32", "none"), (3, "bf16", "full")],
)
def test_only_adapters_learn_and_it_resumes_bit_for_bit(
    zero_stage: int, precision: str, checkpointing: str, tmp_path: Path, tokens: Path, place: Place
) -> None:
    layout = {"zero_stage": zero_stage, "precision": precision, "activation_checkpointing": checkpointing}
    layout |= {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2}
    plan = lora_plan(layout)
    whole, halves = make_run(tmp_path / "whole", plan), make_run(tmp_path / "halves", plan)
    train_here(plan, tokens, whole, place)
    bound = LOSS_BOUND[precision]
    assert list(losses(whole).values()) == pytest.approx(reference_losses(plan, tokens), abs=bound)
    train_in_two(plan, tokens, halves, place)
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)

    state = state_of(whole, plan, 6)
    assert all(is_adapter(name) for name in state)
    assert sum(value.numel() for value in state.values()) == plan.model.trainable_parameters
    checkpoint = whole / "checkpoints" / checkpoint_name(6)
    sizes = [path.stat().st_size for path in checkpoint.rglob("*.safetensors")]
    assert sum(sizes) < 12 * plan.model.trainable_parameters + 20_000

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    base = dict(build_model(plan.model, plan.seed, dtype=dtype).named_parameters())
    written = weights(whole)
    for name, value in written.items():
        changes = name.split(".")[-2] in ALL
        assert torch.equal(value, base[name]) != changes, name


def test_merged_weights_do_what_weights_and_adapters_do(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = lora_plan()
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    network = build_model(plan.model, plan.seed).eval()
    adapter = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    own = dict(network.named_parameters())
    with torch.no_grad():
        for name, value in adapter.items():
            own[name.removeprefix("base_model.model.").removesuffix(".weight")].copy_(value)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.randint(3, 250, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, wanted = plain(input_ids=ids).logits, network(input_ids=ids).logits
        before = build_model(plan.model, plan.seed).eval()(input_ids=ids).logits
    assert torch.allclose(found, wanted, atol=1e-5)
    assert float((found - before).abs().max()) > 0.01
    config = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (4, 8.0, "LORA")
    assert tuple(config["target_modules"]) == ALL


def test_a_merge_in_bf16_is_rounded_once() -> None:
    plan = lora_plan()
    names = {"x.weight": (8, 8), "x.lora_A": (4, 8), "x.lora_B": (8, 4)}
    source = torch.Generator().manual_seed(0)
    some = {name: torch.randn(*shape, generator=source).bfloat16() for name, shape in names.items()}
    exact = some["x.weight"].double() + 2.0 * (some["x.lora_B"].double() @ some["x.lora_A"].double())
    (found,) = merged(some, plan.model).values()
    assert torch.equal(found, exact.float().bfloat16())


def test_a_checkpoint_of_other_adapters_is_of_another_training(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    plan = lora_plan()
    assert training_id(plan) != training_id(lora_plan(model={"lora_alpha": 16.0}))
    assert training_id(plan) != training_id(tiny_plan())
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert read_manifest(run_dir / "checkpoints" / checkpoint_name(6), training_id(plan))
