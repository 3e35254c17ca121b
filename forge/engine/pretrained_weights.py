"""The weights a continued training starts from, read from a folder in the format of transformers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from forge.engine.initial_weights import Part, all_of_it
from forge.errors import StageError
from forge.plan.tensors import expert_tensors, router_tensor
from forge.plan.types import ModelPlan

_MIXTURE = re.compile(r"model\.layers\.(\d+)\.mlp\.(experts\.gate_up_proj|experts\.down_proj|gate\.weight)")


def load_weights(network: torch.nn.Module, model: ModelPlan, folder: Path, part: Part = all_of_it) -> None:
    """Give every parameter of `network`, built on the meta device, its storage and its value from `folder`.

    Of each value `part` is kept.

    Files are mapped into memory and read as they are copied from, so that ranks of one machine share what they read.

    Raises:
        StageError: a file is missing, or not what it was when the plan was compiled.
    """
    made: dict[int, torch.nn.Parameter] = {}
    try:
        with contextlib.ExitStack() as stack:
            files = [
                stack.enter_context(safe_open(path, framework="pt"))
                for path in sorted(folder.glob("*.safetensors"))
            ]
            holder = {name: file for file in files for name in file.keys()}  # noqa: SIM118

            def read(name: str) -> torch.Tensor:
                tensor: torch.Tensor = holder[name].get_tensor(name)
                return tensor

            for path, module in network.named_modules():
                for name, parameter in module._parameters.items():
                    if parameter is None:
                        continue
                    if id(parameter) not in made:  # tied weights are one parameter under two names
                        value = part(f"{path}.{name}", _value(f"{path}.{name}", parameter, model, read))
                        made[id(parameter)] = torch.nn.Parameter(value)
                    module._parameters[name] = made[id(parameter)]
    except (OSError, SafetensorError, KeyError) as error:
        raise StageError(
            f"train: {folder}: is not what it was when the plan was compiled ({error}): give the same command again"
        ) from None


def _value(
    name: str, like: torch.Tensor, model: ModelPlan, read: Callable[[str], torch.Tensor]
) -> torch.Tensor:
    """Return a parameter's value, in storage of its own; experts, which files keep apart, stacked."""
    value = torch.empty(like.shape, dtype=like.dtype)
    mixture = _MIXTURE.fullmatch(name) if model.experts else None
    if mixture is None:
        return value.copy_(read(name))
    layer, part = int(mixture[1]), mixture[2]
    if part == "gate.weight":
        return value.copy_(read(router_tensor(model, layer)))
    for expert in range(model.experts):
        gate, up, down = expert_tensors(model, layer, expert)
        if part == "experts.down_proj":
            value[expert].copy_(read(down))
        else:
            value[expert, : model.intermediate_size].copy_(read(gate))
            value[expert, model.intermediate_size :].copy_(read(up))
    return value
