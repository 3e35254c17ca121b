"""Experts shared out among several ranks: each holds some of them whole, and tokens are sent to those they chose.

Two exchanges a layer, there and back, and the same again in the backward pass (GShard, Lepikhin 2020). All else of the
network every rank has, and sequences too each has its own. Ranks that hold the same experts sum the gradients of these
among themselves alone; DeepSpeed's ZeRO does that for parameters that are marked so.

To transformers this is one more way to compute experts. Weights keep their names, and a rank's part of a stack is a
run of it, so that a checkpoint says nothing of who held what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, grouped_mm_experts_forward

SENT = "sent_to_their_ranks"
"""Name of this way in transformers."""

_STACKS = ("gate_up_proj", "down_proj")
"""Weights of a layer's experts, all of them in one: [experts, outputs, inputs]."""


@dataclass(frozen=True, slots=True)
class ExpertGroup:
    """The ranks that hold all experts together, and where this one stands among them."""

    ranks: Any
    """Their process group."""
    copies: Any
    """The process group of those that hold the same experts as this one."""
    degree: int
    place: int
    name: str
    """What DeepSpeed calls both groups."""

    def part(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return what this rank holds of the weight `name`: of a stack of experts its own, of any other all."""
        if not is_stack(name):
            return weight
        return weight.chunk(self.degree)[self.place].clone()


def is_stack(name: str) -> bool:
    """Return whether the parameter `name` is a stack of experts."""
    return name.endswith(tuple(f".mlp.experts.{stack}" for stack in _STACKS))


def join_expert_group(degree: int) -> ExpertGroup | None:
    """Return the group of this rank, of `degree` ranks next to each other; None for a degree of 1. All ranks call it.

    It is made by DeepSpeed, which looks it up when it shards and reduces.
    """
    if degree == 1:
        return None
    from deepspeed.utils import groups

    groups._create_expert_and_data_parallel(degree)
    name = f"ep_size_{degree}"
    ranks = groups._get_expert_parallel_group(name)
    copies = groups._get_expert_data_parallel_group(name)
    return ExpertGroup(ranks, copies, degree, torch.distributed.get_rank(ranks), name)


def share_experts(network: transformers.PreTrainedModel, group: ExpertGroup) -> None:
    """Have `network`, whose stacks of experts are this rank's part, send tokens to the ranks of their experts."""
    for layer in network.model.layers:
        experts = layer.mlp.experts
        experts.num_experts = len(experts.gate_up_proj)
        experts.expert_group = group
        for stack in _STACKS:
            _mark(getattr(experts, stack), group)
    network.set_experts_implementation(SENT)
    network.add_module("expert_parallel", _sign(network.config.num_local_experts))


def _mark(parameter: Any, group: ExpertGroup) -> None:
    """Tell DeepSpeed that `parameter` is of these experts: reduced, sharded and sent out among its copies alone."""
    parameter.expert_group = group
    parameter.allreduce = False
    parameter.group_name = group.name
    parameter.ds_zero_placement_family = "autoep_expert"
    parameter.ds_zero_partition_group_name = group.name
    parameter.ds_zero_partition_process_group = group.copies


def _sign(experts: int) -> torch.nn.Module:
    """Return a module that does nothing but make DeepSpeed look for parameters that are marked.

    It does so where a module is of a class of its own (`_configure_distributed_model` and
    `_validate_zero3_moe_compatibility` in DeepSpeed 0.19's engine), whose layers compute in another way than
    transformers' and have other names.
    """
    from deepspeed.module_inject.auto_ep_layer import AutoEPMoELayer

    class Sign(AutoEPMoELayer):  # type: ignore[misc]  # DeepSpeed has no types
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.num_experts = experts

        def set_deepspeed_parallelism(self, *arguments: Any, **options: Any) -> None:
            """The groups are there."""

    return Sign()


def in_whole(parameter: Any, shape: tuple[int, ...], start: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of the whole weight, and where element `start` of this rank's part of it is in that."""
    group: ExpertGroup | None = getattr(parameter, "expert_group", None)
    if group is None:
        return shape, start
    part = torch.Size(shape).numel()
    return (shape[0] * group.degree, *shape[1:]), group.place * part + start


def whole_weight(parameter: Any) -> torch.Tensor:
    """Return the whole of a weight, gathered from the ranks that hold its parts; all of them call it."""
    weight: torch.Tensor = parameter.detach()
    group: ExpertGroup | None = getattr(parameter, "expert_group", None)
    if group is None:
        return weight
    whole = weight.new_empty(group.degree * len(weight), *weight.shape[1:])
    torch.distributed.all_gather(list(whole.chunk(group.degree)), weight.contiguous(), group=group.ranks)
    return whole


def send_to_experts(
    module: Any, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Return what the experts make of `hidden_states`, [tokens, hidden], as transformers calls it.

    Args:
        module: the experts that this rank holds; `num_experts` says how many.
        hidden_states: this rank's tokens.
        top_k_index: the experts of each, of all there are, [tokens, experts a token].
        top_k_weights: what their outputs are weighted by.
    """
    group: ExpertGroup = module.expert_group
    chosen = top_k_index.shape[-1]
    wanted, order = top_k_index.flatten().sort(stable=True)
    first = torch.arange(group.degree * module.num_experts + 1, device=wanted.device)
    sent = torch.searchsorted(wanted, first).diff()
    received = torch.empty_like(sent)  # of each rank in turn, by expert of this one
    torch.distributed.all_to_all_single(received, sent, group=group.ranks)
    to_each, from_each = rows_of_ranks(sent, group), rows_of_ranks(received, group)

    local = torch.arange(module.num_experts, device=wanted.device).repeat(group.degree)
    experts = local.repeat_interleave(received, output_size=sum(from_each)).unsqueeze(1)
    made = grouped_mm_experts_forward(
        module,
        _exchange(hidden_states[order // chosen], to_each, from_each, group),
        experts,
        torch.ones(experts.shape, dtype=hidden_states.dtype, device=experts.device),
    )
    made = _exchange(made, from_each, to_each, group)

    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    weighted = made[back].view(-1, chosen, made.shape[-1]) * top_k_weights.unsqueeze(-1)
    return weighted.sum(dim=1).to(hidden_states.dtype)


def rows_of_ranks(counts: torch.Tensor, group: ExpertGroup) -> list[int]:
    """Return rows by rank, of `counts` by rank and expert of it: numbers that the host waits for."""
    rows: list[int] = counts.view(group.degree, -1).sum(dim=1).tolist()
    return rows


def _exchange(
    rows: torch.Tensor, to_each: list[int], from_each: list[int], group: ExpertGroup
) -> torch.Tensor:
    """Return the rows that ranks of `group` send to this one, in order of rank; its gradient goes the way back."""
    out: torch.Tensor = _Exchange.apply(rows, to_each, from_each, group)  # type: ignore[no-untyped-call]
    return out


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: torch.Tensor, to_each: list[int], from_each: list[int], group: ExpertGroup
    ) -> torch.Tensor:
        ctx.to_each, ctx.from_each, ctx.group = to_each, from_each, group
        return _all_to_all(rows, to_each, from_each, group)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        return _all_to_all(gradient, ctx.from_each, ctx.to_each, ctx.group), None, None, None


def _all_to_all(
    rows: torch.Tensor, to_each: list[int], from_each: list[int], group: ExpertGroup
) -> torch.Tensor:
    received = rows.new_empty(sum(from_each), *rows.shape[1:])
    torch.distributed.all_to_all_single(received, rows.contiguous(), from_each, to_each, group=group.ranks)
    return received


ALL_EXPERTS_FUNCTIONS.register(SENT, send_to_experts)
