"""LoRA (Hu et al. 2021): frozen weights, and beside each chosen one the product of two small matrices that is learnt.

y = W x + (alpha / rank) B A x        A is [rank, inputs], random; B is [outputs, rank], zero at first

In training a share of the elements of the second x may be dropped, and the others divided by what is left (dropout).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from forge.engine.dropout import SampleDropout, dropped_product
from forge.engine.sequence_parallel import SequenceGroup
from forge.plan.types import ModelPlan

A, B = "lora_A", "lora_B"
"""Names of the two, as peft has them."""

_IN_PEFT = "base_model.model."


class LoraLinear(torch.nn.Linear):
    """A linear layer with an adapter; its own weight and bias are frozen."""

    lora_A: torch.nn.Parameter  # noqa: N815, the names that peft's files have
    lora_B: torch.nn.Parameter  # noqa: N815
    scale: float
    dropout: SampleDropout | None = None
    name: str = ""
    """Of the layer, to whom what is dropped belongs."""

    @classmethod
    def around(
        cls, layer: torch.nn.Linear, rank: int, scale: float, generator: torch.Generator
    ) -> LoraLinear:
        """Return `layer` with an adapter that changes nothing yet, drawn from `generator` in fp32 as peft draws it."""
        with torch.device("meta"):
            made = cls(layer.in_features, layer.out_features, bias=False)
        made.weight, made.bias = layer.weight, layer.bias
        bound = 1 / math.sqrt(layer.in_features)  # Kaiming uniform with a = sqrt(5)
        first = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
        made.lora_A = torch.nn.Parameter(first.to(layer.weight.dtype))
        made.lora_B = torch.nn.Parameter(torch.zeros(layer.out_features, rank, dtype=layer.weight.dtype))
        made.scale = scale
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return W x + bias + scale B A x, in training with dropout in the second x."""
        linear, scale = torch.nn.functional.linear, self.scale
        if self.training and self.dropout is not None:
            inner = dropped_product(x, self.lora_A, self.dropout, self.name)
            scale /= 1 - self.dropout.rate
        else:
            inner = linear(x, self.lora_A)
        return linear(x, self.weight, self.bias) + scale * linear(inner, self.lora_B)


def add_adapters(network: torch.nn.Module, model: ModelPlan, seed: int) -> None:
    """Freeze `network` and put an adapter into each of its linear layers that `model` names.

    Each is a function of the seed and of its layer's name alone. With dropout the network has to be told which
    sequences it computes (`tell_samples`).
    """
    network.requires_grad_(False)
    dropout = SampleDropout(model.lora_dropout, seed) if model.lora_dropout else None
    chosen = [
        (path, layer)
        for path, layer in network.named_modules()
        if isinstance(layer, torch.nn.Linear) and path.rpartition(".")[2] in model.lora_target_modules
    ]
    for path, layer in chosen:
        digest = hashlib.sha256(f"{seed}:{path}.{A}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
        adapted = LoraLinear.around(layer, model.lora_rank, _scale(model), generator)
        adapted.dropout, adapted.name = dropout, path
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, adapted)
    network.sample_dropout = dropout  # type: ignore[assignment]


def tell_samples(
    network: torch.nn.Module, step: int, positions: Sequence[int], group: SequenceGroup | None
) -> None:
    """Tell the adapters of `network` of which step, and of which sequences of its global batch, the next rows are."""
    dropout: SampleDropout | None = getattr(network, "sample_dropout", None)
    if dropout is not None:
        dropout.begin(step, positions, group)


def is_adapter(name: str) -> bool:
    """Return whether a parameter of this name is an adapter's."""
    return name.endswith((f".{A}", f".{B}"))


def merged(weights: dict[str, torch.Tensor], model: ModelPlan) -> dict[str, torch.Tensor]:
    """Return plain weights that do what `weights` with their adapters do: W + (alpha / rank) B A, summed in fp32."""
    plain = {name: value for name, value in weights.items() if not is_adapter(name)}
    for name in weights:
        if name.endswith(f".{A}"):
            layer = name.removesuffix(f".{A}")
            weight, first, second = (weights[f"{layer}.{part}"] for part in ("weight", A, B))
            change = _scale(model) * (second.float() @ first.float())
            plain[f"{layer}.weight"] = (weight.float() + change).to(weight.dtype)
    return plain


def write_adapter(weights: dict[str, torch.Tensor], model: ModelPlan, base: str | None, folder: Path) -> None:
    """Write the adapters in `weights` to `folder` as peft does: adapter_model.safetensors and adapter_config.json.

    Args:
        weights: by name; others than adapters' are left out.
        model: what they are for.
        base: name of the model that they change; None: it was drawn at random.
        folder: is made.
    """
    folder.mkdir()
    named = {f"{_IN_PEFT}{name}.weight": value for name, value in weights.items() if is_adapter(name)}
    save_file(named, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": model.lora_rank,
        "lora_alpha": model.lora_alpha,
        "target_modules": list(model.lora_target_modules),
        "lora_dropout": model.lora_dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _scale(model: ModelPlan) -> float:
    return model.lora_alpha / model.lora_rank
