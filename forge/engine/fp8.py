"""Linear layers whose matrix products are made in fp8, by torchao; weights and gradients stay what they are in bf16.

Inputs, weights and gradients of outputs are cast as they are multiplied, all to e4m3, each row with a scale of its own,
a power of two (torchao's recipe `rowwise`). No scale is kept from one step to the next, so checkpoints hold nothing of
it. On a CPU torchao casts to fp8 and back, and multiplies what is left: slow, and the same training up to rounding.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

from forge.errors import FitError, StageError
from forge.plan.fp8 import gains_by_fp8
from forge.plan.types import LayoutPlan

if TYPE_CHECKING:  # the parent asks whether torchao is there, and starts without torch
    import torch

RECIPE = "rowwise"

MISSING = (
    "train.precision: torchao is not installed: pip install 'forge-run[fp8]', or use train.precision=bf16"
)

LEAST_CAPABILITY = (8, 9)
"""Of CUDA: Ada."""


def check_fp8_installed(layout: LayoutPlan) -> None:
    """Refuse a layout in fp8 on a machine without torchao, before anything is done for it.

    Raises:
        FitError: it is missing.
    """
    if layout.precision == "fp8" and not _installed():
        raise FitError(MISSING)


def multiply_in_fp8(network: torch.nn.Module) -> None:
    """Let every linear layer of `network`'s layers that is large enough multiply in fp8.

    Raises:
        StageError: torchao is not installed, or the GPU does not multiply fp8.
    """
    import torch

    if not _installed():
        raise StageError(f"train: {MISSING}")
    on_gpu = torch.cuda.is_available()
    if on_gpu and torch.cuda.get_device_capability() < LEAST_CAPABILITY:
        raise StageError(
            f"train: {torch.cuda.get_device_name()} does not multiply fp8: use train.precision=bf16"
        )
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    def gains(module: torch.nn.Module, name: str) -> bool:
        if not isinstance(module, torch.nn.Linear) or ".layers." not in name:
            return False
        return gains_by_fp8(module.in_features, module.out_features)

    config = replace(Float8LinearConfig.from_recipe_name(RECIPE), emulate=not on_gpu)
    convert_to_float8_training(network, module_filter_fn=gains, config=config)


def _installed() -> bool:
    return importlib.util.find_spec("torchao") is not None
