"""AdamW and Muon, their parameter groups, and the learning rate set from outside."""

from __future__ import annotations

from typing import Any

import torch

from forge.engine.expert_parallel import ExpertGroup
from forge.plan.parametrization import scale_of
from forge.plan.types import Plan

SCALE = "learning_rate_scale"
"""Of a parameter group: what the learning rate is multiplied by."""


def build_optimizer(plan: Plan, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019) or Muon over `network`, ready for `deepspeed.initialize`.

    Matrices decay, vectors (norm weights, biases) do not, as in GPT-3. An optimizer held in host memory needs
    DeepSpeed's CPU kernel; everywhere else torch's fused one needs no compiler and is as fast.
    """
    schedule = plan.schedule
    options: dict[str, Any] = {
        "lr": schedule.learning_rate,
        "betas": (schedule.adam_beta1, schedule.adam_beta2),
        "eps": schedule.adam_epsilon,
    }
    if schedule.optimizer == "muon":
        return _muon(plan, network, options)
    groups = _groups(plan, list(network.named_parameters()))
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


def _muon(plan: Plan, network: torch.nn.Module, adam: dict[str, Any]) -> torch.optim.Optimizer:
    """Return DeepSpeed's Muon (Jordan 2024) over the matrices of layers, with AdamW over all else.

    Its weight gets the momentum, orthogonalized by five Newton-Schulz steps, times sqrt(max(1, rows / columns)). Under
    ZeRO 1 and 2 DeepSpeed does that where gradients are put in a rank's own part, on each whole matrix that touches
    it; so what it calls the gradient from there on, to clip it and to take its norm, is the update.

    Stages 0 and 3 were seen to train as plain torch does (DeepSpeed 0.19.8) and are refused by the spec's rules: at
    stage 0 nothing passes over a gradient that is not finite, and stage 3 reduces whole gradients on every rank,
    which the plan does not count.
    """
    from deepspeed.runtime.zero.muon.muon_optimizer import MuonWithAuxAdam

    schedule = plan.schedule
    # DeepSpeed wraps the Newton-Schulz steps in torch.compile: minutes to save little on a few matrix products, and
    # what is compiled depends on the shapes that came before, so a resumed process need not compute the same bits.
    torch.compiler.set_stance("force_eager")
    for name, parameter in network.named_parameters():
        parameter.use_muon = trains_with_muon(name, parameter)  # type: ignore[attr-defined]  # DeepSpeed reads it
    by_muon = [p for p in network.parameters() if p.use_muon]  # type: ignore[attr-defined]
    matrices = {
        "params": by_muon,
        "use_muon": True,
        "lr": schedule.muon_learning_rate,
        "momentum": schedule.muon_momentum,
        "weight_decay": schedule.weight_decay,
        "ns_method": "gram",
        SCALE: schedule.muon_learning_rate / schedule.learning_rate,
    }
    others = [(name, p) for name, p in network.named_parameters() if not p.use_muon]  # type: ignore[attr-defined]
    groups = [matrices, *(group | adam | {"use_muon": False} for group in _groups(plan, others))]
    optimizer: torch.optim.Optimizer = MuonWithAuxAdam(
        groups, adam_optimizer=torch.optim.AdamW, adam_optimizer_kwargs={"fused": True, **adam}
    )
    return optimizer


def trains_with_muon(name: str, parameter: torch.Tensor) -> bool:
    """Return whether Muon is for this weight: a matrix between the embedding and the head."""
    return parameter.ndim >= 2 and not any(word in name for word in ("embed_tokens", "lm_head"))


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Give every parameter group the learning rate `rate`, times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[SCALE]


def _groups(plan: Plan, parameters: list[tuple[str, torch.nn.Parameter]]) -> list[dict[str, Any]]:
    """Return matrices and then vectors, by the scale of their learning rate; experts that ranks share by themselves.

    AdamW shrinks a weight by learning rate times decay; muP leaves that product as it is at the base width.
    """
    groups: dict[tuple[bool, float, str], dict[str, Any]] = {}
    for name, parameter in parameters:
        if not parameter.requires_grad:
            continue
        scale = scale_of(name, parameter.ndim, plan.model, plan.schedule).learning_rate
        is_vector = parameter.ndim < 2
        decay = 0.0 if is_vector else plan.schedule.weight_decay / scale
        shared: ExpertGroup | None = getattr(parameter, "expert_group", None)
        group = groups.setdefault(
            (is_vector, scale, shared.name if shared else ""),
            {"params": [], "weight_decay": decay, SCALE: scale}
            | ({"moe": True, "name": shared.name} if shared else {}),  # as DeepSpeed tells them apart
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]
