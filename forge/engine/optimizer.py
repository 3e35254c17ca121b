"""AdamW, its parameter groups, and the learning rate set from outside."""

from __future__ import annotations

from typing import Any

import torch

from forge.plan.parametrization import scale_of
from forge.plan.types import Plan

SCALE = "learning_rate_scale"
"""Of a parameter group: what the learning rate is multiplied by."""


def build_optimizer(plan: Plan, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019) over `network`, ready for `deepspeed.initialize`.

    Matrices decay, vectors (norm weights, biases) do not, as in GPT-3. An optimizer held in host memory needs
    DeepSpeed's CPU kernel; everywhere else torch's fused one needs no compiler and is as fast.
    """
    schedule = plan.schedule
    groups = _groups(plan, network)
    options: dict[str, Any] = {
        "lr": schedule.learning_rate,
        "betas": (schedule.adam_beta1, schedule.adam_beta2),
        "eps": schedule.adam_epsilon,
    }
    if plan.layout.offload_optimizer == "cpu":
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        optimizer: torch.optim.Optimizer = DeepSpeedCPUAdam(
            groups,
            adamw_mode=True,
            fp32_optimizer_states=plan.layout.optimizer_states == "fp32",
            **options,
        )
        return optimizer
    return torch.optim.AdamW(groups, fused=True, **options)


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Give every parameter group the learning rate `rate`, times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[SCALE]


def _groups(plan: Plan, network: torch.nn.Module) -> list[dict[str, Any]]:
    """Return matrices and then vectors, by the scale of their learning rate.

    AdamW shrinks a weight by learning rate times decay; muP leaves that product as it is at the base width.
    """
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        scale = scale_of(name, parameter.ndim, plan.model, plan.schedule).learning_rate
        is_vector = parameter.ndim < 2
        decay = 0.0 if is_vector else plan.schedule.weight_decay / scale
        group = groups.setdefault((is_vector, scale), {"params": [], "weight_decay": decay, SCALE: scale})
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]
