"""Adapters of LoRA (Hu et al. 2021) beside the weights of a network: what they are, counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from forge.errors import SpecError
from forge.plan.linears import linear_sizes
from forge.plan.types import ModelPlan

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def adapted(model: ModelPlan, train: dict[str, Any], starts_from_weights: bool) -> ModelPlan:
    """Return `model` with the adapters that the spec's `train` values ask for.

    Raises:
        SpecError: they would change random weights, or parts that the model lacks.
    """
    rank, targets = train["lora_rank"], tuple(train["lora_target_modules"])
    if rank is None:
        if train["lora_dropout"]:
            raise SpecError(
                f"train.lora_dropout: {train['lora_dropout']} is set, and only adapters have dropout: set "
                "train.lora_rank, or train.lora_dropout=0"
            )
        return model
    if not starts_from_weights:
        raise SpecError(
            f"train.lora_rank: {rank} is set, and adapters change weights that have been trained: name them in "
            "model.init_from, or set train.lora_rank=null"
        )
    if model.experts and (some := [name for name in targets if name in FEED_FORWARD]):
        raise SpecError(
            f"train.lora_target_modules: {', '.join(some)} of a mixture of experts get no adapters: use "
            f"train.lora_target_modules=[{','.join(ATTENTION)}]"
        )
    return with_adapters(
        replace(
            model,
            lora_rank=rank,
            lora_alpha=train["lora_alpha"],
            lora_dropout=train["lora_dropout"],
            lora_target_modules=targets,
        )
    )


def with_adapters(model: ModelPlan) -> ModelPlan:
    """Return `model` with the parameters of its adapters counted."""
    count = model.layers * sum(first + second for first, second in adapter_matrices(model))
    return replace(model, adapter_parameters=count)


def adapter_matrices(model: ModelPlan) -> tuple[tuple[int, int], ...]:
    """Return the elements of A and of B of each adapter of one layer, in the order in which they run."""
    return tuple(
        (model.lora_rank * inputs, model.lora_rank * outputs)
        for name, (inputs, outputs) in linear_sizes(model).items()
        if name in model.lora_target_modules
    )
