"""AdamW, its parameter groups, and the learning rate set from outside."""

from __future__ import annotations

from typing import Any

import torch

from forge.plan.types import Plan


def build_optimizer(plan: Plan, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019) over `network`, ready for `deepspeed.initialize`.

    Matrices decay, vectors (norm weights, biases) do not, as in GPT-3. An optimizer held in host memory needs
    DeepSpeed's CPU kernel; everywhere else torch's fused one needs no compiler and is as fast.
    """
    schedule = plan.schedule
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]  # of adapters there are no vectors
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
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
