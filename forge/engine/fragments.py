"""The optimizer's fp32 state as this rank holds it: views into DeepSpeed's buffers, named by parameter and place in it.

DeepSpeed 0.19 keeps fp32 weights and both Adam moments in flat buffers that differ by ZeRO stage and world size. Named
by parameter and offset, the same numbers can be written under one layout and read under any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from forge.engine.distributed import Place

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = (WEIGHT, *MOMENTS)
"""What is kept of each parameter, all in fp32: 12 bytes a parameter."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A run of one parameter's elements."""

    name: str
    shape: tuple[int, ...]
    """Of the whole parameter."""
    start: int
    """First element, counted in the flattened parameter."""
    values: dict[str, torch.Tensor]
    """By kind, flat views into the optimizer's own memory: writing to them changes the training."""

    @property
    def numel(self) -> int:
        """Elements in this fragment."""
        return self.values[WEIGHT].numel()


def held_fragments(engine: Any, zero_stage: int, place: Place) -> list[Fragment]:
    """Return what this rank's optimizer works on: whole parameters at stage 0, its share of them above.

    An optimizer that has taken no step gets the state it would start from: zero moments.
    """
    found = {0: _whole, 1: _partitioned, 2: _partitioned, 3: _sharded}[zero_stage](engine)
    inner = base_optimizer(engine)
    fragments = []
    for name, shape, start, flat, offset, numel in found:
        if numel > 0:
            state = _state(inner, flat)
            values = {WEIGHT: flat.detach().view(-1).narrow(0, offset, numel)}
            values |= {kind: state[kind].view(-1).narrow(0, offset, numel) for kind in MOMENTS}
            fragments.append(Fragment(name, shape, start, values))
    return fragments


def owned_fragments(engine: Any, zero_stage: int, place: Place) -> list[Fragment]:
    """Return what this rank writes: the ranks' parts add up to every element once."""
    held = held_fragments(engine, zero_stage, place)
    if zero_stage > 0:
        return held
    shares = []
    for whole in held:  # every rank holds all of it
        share = math.ceil(whole.numel / place.world_size)
        start = min(share * place.rank, whole.numel)
        numel = min(share, whole.numel - start)
        if numel > 0:
            values = {kind: value.narrow(0, start, numel) for kind, value in whole.values.items()}
            shares.append(Fragment(whole.name, whole.shape, start, values))
    return shares


def host_copy(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Return room in host memory for the values of `fragments`, 12 bytes an element."""
    return [
        Fragment(
            one.name,
            one.shape,
            one.start,
            {kind: torch.empty(one.numel, dtype=torch.float32) for kind in KINDS},
        )
        for one in fragments
    ]


@torch.no_grad()
def copy_values(fragments: Sequence[Fragment], copy: Sequence[Fragment]) -> None:
    """Bring `copy`, which `host_copy` made for them, to the present values of `fragments`."""
    for one, its_copy in zip(fragments, copy, strict=True):
        for kind in KINDS:
            its_copy.values[kind].copy_(one.values[kind])


def optimizer_steps(engine: Any) -> int:
    """Return how many steps Adam has taken: its bias correction depends on it."""
    states = list(base_optimizer(engine).state.values())
    return int(states[0]["step"]) if states else 0


def set_optimizer_steps(engine: Any, steps: int) -> None:
    """Set how many steps Adam has taken, in every state it has."""
    for state in base_optimizer(engine).state.values():
        if torch.is_tensor(state["step"]):
            state["step"].fill_(steps)
        else:
            state["step"] = steps


@torch.no_grad()
def renew_weights(engine: Any, zero_stage: int) -> None:
    """Make the weights that the network computes with from the fp32 ones; all ranks call it."""
    optimizer = engine.optimizer
    if zero_stage in (1, 2):
        optimizer.update_lp_params()
    elif zero_stage == 3:
        optimizer._partition_all_parameters()
        for group in range(len(optimizer.fp16_groups)):
            optimizer._reassign_or_swap_out_partitioned_parameters(group)
        if optimizer.persistent_parameters:
            optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)


def base_optimizer(engine: Any) -> Any:
    """Return the Adam inside DeepSpeed's wrapper, or itself where there is none (stage 0)."""
    optimizer = engine.optimizer
    return getattr(optimizer, "optimizer", optimizer)


_Found = tuple[str, tuple[int, ...], int, torch.Tensor, int, int]
"""Name, shape, first element, flat buffer, offset in it, elements."""


def _trained(engine: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters that the optimizer works on; frozen ones are read again from where they came from."""
    return ((name, each) for name, each in engine.module.named_parameters() if each.requires_grad)


def _whole(engine: Any) -> Iterator[_Found]:
    for name, parameter in _trained(engine):
        yield name, tuple(parameter.shape), 0, parameter, 0, parameter.numel()


def _partitioned(engine: Any) -> Iterator[_Found]:
    for name, parameter in _trained(engine):
        mapping = parameter._hp_mapping
        if mapping is None:  # another rank's
            continue
        flat = engine.optimizer.single_partition_of_fp32_groups[mapping.param_group_index]
        low, high = mapping.lp_fragment_address, mapping.hp_fragment_address
        yield name, tuple(parameter.shape), low.start, flat, high.start, high.numel


def _sharded(engine: Any) -> Iterator[_Found]:
    optimizer = engine.optimizer
    for name, parameter in _trained(engine):
        group, offset, share = optimizer.grad_position[optimizer.get_param_id(parameter)]
        start = share * optimizer._get_param_partition_rank(parameter)
        numel = min(share, parameter.ds_numel - start)  # the last shares are padded
        flat = optimizer.fp32_partitioned_groups_flat[group]
        yield name, tuple(parameter.ds_shape), start, flat, int(offset), numel


def _state(inner: Any, flat: torch.Tensor) -> dict[str, Any]:
    """Return Adam's state of `flat`, made as its first step would make it."""
    state: dict[str, Any] = inner.state[flat]
    if not state:
        on_host = type(inner).__name__ == "DeepSpeedCPUAdam"  # counts its steps as an int
        state["step"] = 0 if on_host else torch.zeros((), dtype=torch.float32, device=flat.device)
        state |= {kind: torch.zeros_like(flat, requires_grad=False) for kind in MOMENTS}
    return state
