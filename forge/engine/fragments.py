"""The optimizer's fp32 state as this rank holds it: views into DeepSpeed's buffers, named by parameter and place in it.

DeepSpeed 0.19 keeps fp32 weights and both Adam moments in flat buffers that differ by ZeRO stage and world size. Named
by parameter and offset, the same numbers can be written under one layout and read under any other.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from forge.engine.distributed import Place
from forge.engine.expert_parallel import in_whole

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
MOMENTUM = "momentum_buffer"
KINDS = (WEIGHT, *MOMENTS)
"""What is kept of each parameter that AdamW trains, all in fp32: 12 bytes a parameter. Of one that Muon trains: WEIGHT
and MOMENTUM, 8 bytes."""


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
        return next(iter(self.values.values())).numel()


def held_fragments(
    engine: Any, zero_stage: int, place: Place, changing: bool = False
) -> Iterator[list[Fragment]]:
    """Yield what this rank's optimizer works on: whole parameters at stage 0, its share of them above.

    It comes all at once, but for what lies on a disk: that comes one sub-group of ZeRO stage 3 at a time, which is in
    memory until the next is asked for. With `changing` what was written to it then goes back to the disk.

    An optimizer that has taken no step gets the state it would start from: zero moments. Muon's momentum is whole on
    every rank whose share touches the matrix: it is a fragment of its own.
    """
    if not _swaps(engine):
        found = {0: _whole, 1: _partitioned, 2: _partitioned, 3: _sharded}[zero_stage](engine)
        yield _fragments(engine, zero_stage, found)
        return
    for group, flat in enumerate(engine.optimizer.fp32_partitioned_groups_flat):
        begins = not base_optimizer(engine).state[flat]
        with _in_memory(engine.optimizer, group, changing or begins):
            yield _fragments(engine, zero_stage, (one for one in _sharded(engine) if one[3] is flat))


def owned_fragments(engine: Any, zero_stage: int, place: Place) -> Iterator[list[Fragment]]:
    """Yield what this rank writes, as `held_fragments` does: the ranks' parts add up to every element once."""
    for held in held_fragments(engine, zero_stage, place):
        yield _owned(held, zero_stage, place)


def _fragments(engine: Any, zero_stage: int, found: Iterator[_Found]) -> list[Fragment]:
    inner, momenta = base_optimizer(engine), _momenta(engine, zero_stage)
    fragments = []
    for name, shape, start, flat, offset, numel in found:
        if numel > 0:
            values = {WEIGHT: flat.detach().view(-1).narrow(0, offset, numel)}
            if name in momenta:
                fragments.append(Fragment(name, shape, 0, {MOMENTUM: momenta[name]}))
            else:
                state = _state(inner, flat)
                values |= {kind: state[kind].view(-1).narrow(0, offset, numel) for kind in MOMENTS}
            fragments.append(Fragment(name, shape, start, values))
    return fragments


def _owned(held: list[Fragment], zero_stage: int, place: Place) -> list[Fragment]:
    if zero_stage > 0:
        momenta = {one.name: one.values[MOMENTUM] for one in held if MOMENTUM in one.values}
        return [
            replace(one, values=one.values | {MOMENTUM: momenta[one.name].narrow(0, one.start, one.numel)})
            if one.name in momenta
            else one
            for one in held
            if MOMENTUM not in one.values
        ]
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
    """Return room in host memory for the values of `fragments`, 4 bytes an element of each kind."""
    return [
        Fragment(
            one.name,
            one.shape,
            one.start,
            {kind: torch.empty(one.numel, dtype=torch.float32) for kind in one.values},
        )
        for one in fragments
    ]


@torch.no_grad()
def copy_values(fragments: Sequence[Fragment], copy: Sequence[Fragment]) -> None:
    """Bring `copy`, which `host_copy` made for them, to the present values of `fragments`."""
    for one, its_copy in zip(fragments, copy, strict=True):
        for kind in one.values:
            its_copy.values[kind].copy_(one.values[kind])


def optimizer_steps(engine: Any) -> int:
    """Return how many steps Adam has taken: its bias correction depends on it."""
    states = base_optimizer(engine).state.values()
    return next((int(state["step"]) for state in states if "step" in state), 0)


def set_optimizer_steps(engine: Any, steps: int) -> None:
    """Set how many steps Adam has taken, in every state it has."""
    for state in base_optimizer(engine).state.values():
        if "step" not in state:  # Muon's
            continue
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
            with _in_memory(optimizer, group):
                optimizer._reassign_or_swap_out_partitioned_parameters(group)
        if optimizer.persistent_parameters:
            optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)
        optimizer.invalidate_secondary_tensor()  # hpZ's second copy is made again when it is asked for


def base_optimizer(engine: Any) -> Any:
    """Return the Adam inside DeepSpeed's wrapper, or itself where there is none (stage 0)."""
    optimizer = engine.optimizer
    return getattr(optimizer, "optimizer", optimizer)


def _swaps(engine: Any) -> bool:
    """Return whether states lie on a disk, and come to memory when they are asked for."""
    return getattr(engine.optimizer, "swap_optimizer", False)


@contextlib.contextmanager
def _in_memory(optimizer: Any, group: int, changing: bool = False) -> Iterator[None]:
    """Have the states of a sub-group of stage 3 in memory; a group too small for a disk always is."""
    swapped = optimizer._swappable_optimizer_subgroup(group)
    if swapped:
        optimizer._optimizer_states_and_gradient_swap_in(group)
    try:
        yield
    finally:
        if swapped and changing:
            optimizer._optimizer_states_and_gradient_swap_out(group)
        elif swapped:
            optimizer._release_swap_buffers(group)


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
        shape, start = in_whole(parameter, tuple(parameter.shape), low.start)
        yield name, shape, start, flat, high.start, high.numel


def _sharded(engine: Any) -> Iterator[_Found]:
    optimizer = engine.optimizer
    for name, parameter in _trained(engine):
        group, offset, share = optimizer.grad_position[optimizer.get_param_id(parameter)]
        start = share * optimizer._get_param_partition_rank(parameter)
        numel = min(share, parameter.ds_numel - start)  # the last shares are padded
        flat = optimizer.fp32_partitioned_groups_flat[group]
        shape, start = in_whole(parameter, tuple(parameter.ds_shape), start)
        yield name, shape, start, flat, int(offset), numel


def _state(inner: Any, flat: torch.Tensor) -> dict[str, Any]:
    """Return Adam's state of `flat`, made as its first step would make it."""
    state: dict[str, Any] = inner.state[flat]
    if not state:
        on_host = type(inner).__name__ == "DeepSpeedCPUAdam"  # counts its steps as an int
        state["step"] = 0 if on_host else torch.zeros((), dtype=torch.float32, device=flat.device)
        state |= {kind: torch.zeros_like(flat, requires_grad=False) for kind in MOMENTS}
    return state


def _momenta(engine: Any, zero_stage: int) -> dict[str, torch.Tensor]:
    """Return the momentum of each matrix that Muon trains and of which this rank owns a part, flat and whole, by name.

    DeepSpeed lays the matrices that touch a rank's part one after another, made as its first step would make them.
    """
    inner = base_optimizer(engine)
    if zero_stage not in (1, 2) or type(inner).__name__ != "MuonWithAuxAdam":
        return {}
    names = {id(parameter): name for name, parameter in engine.module.named_parameters()}
    momenta: dict[str, torch.Tensor] = {}
    for group, flat in enumerate(engine.optimizer.single_partition_of_fp32_groups):
        touching = engine.optimizer.params_in_partition[group]
        if not touching or not touching[0].use_muon:
            continue
        state = inner.state[flat]
        if MOMENTUM not in state:
            numel = sum(parameter.numel() for parameter in touching)
            state[MOMENTUM] = torch.zeros(numel, dtype=touching[0].dtype, device=flat.device)
        whole = state[MOMENTUM].split([parameter.numel() for parameter in touching])
        momenta |= {names[id(parameter)]: part for parameter, part in zip(touching, whole, strict=True)}
    return momenta
