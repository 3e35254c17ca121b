"""What lives between two steps: weights, optimizer states, what ZeRO keeps allocated; and checkpoints, made of them.

Model states: Rajbhandari 2020 (ZeRO), table 1, with what DeepSpeed 0.19 keeps besides. Devices that share experts hold
an equal part of them each, whole. What is sharded of an expert is so among the devices that hold it, which are fewer in
the same proportion: a device's share of gradients and states is that of a plain layout.
"""

from __future__ import annotations

from typing import NamedTuple

from forge.plan.activations import WIDTH_BYTES
from forge.plan.gathered import PERSISTENT_HIDDEN_SIZES
from forge.plan.gradients import largest_weight, touched_elements, weight_groups
from forge.plan.layout import Layout, Optimizer
from forge.plan.lora import adapter_matrices
from forge.plan.muon import muon_parameters
from forge.plan.types import ModelPlan
from forge.plan.weights import held_parameters, trained_weights, weights_of

BYTES = WIDTH_BYTES

MOMENTS = 2
"""Adam's, a parameter; each as wide as the copy of the parameter that the optimizer updates."""


def state_bytes(model: ModelPlan, layout: Layout, world_size: int) -> int:
    """Return what a device holds between two steps: weights, optimizer states, what stage 3 keeps allocated."""
    states = model_states(
        model,
        layout.precision,
        layout.optimizer_states,
        layout.zero_stage,
        world_size,
        layout.offload_optimizer,
        layout.optimizer,
        layout.expert_parallel_degree,
    )
    kept = layout.bucket_bytes if layout.zero_stage == 3 else 0
    if layout.offload_optimizer != "none" and layout.zero_stage < 3:
        kept = BYTES[layout.precision] * largest_weight(trained_weights(model))
    parameters = states.parameters
    if layout.offload_parameters != "none":
        parameters = BYTES[layout.precision] * weights_of(model).vectors
    return round(parameters + states.gradients + states.optimizer + kept)


def checkpoint_bytes(model: ModelPlan, optimizer: Optimizer = "adamw") -> int:
    """Return the size of one checkpoint: weights and moments in fp32, in every layout (`forge.engine.fragments`)."""
    moments = MOMENTS * model.trainable_parameters
    if optimizer == "muon":
        moments -= (MOMENTS - 1) * muon_parameters(model)
    return 4 * (model.trainable_parameters + moments)


class States(NamedTuple):
    """Bytes that live through the whole step."""

    parameters: float
    gradients: float
    optimizer: float


def model_states(
    model: ModelPlan,
    precision: str,
    optimizer_states: str,
    stage: int,
    world: int,
    offload: str,
    optimizer_name: Optimizer,
    expert_degree: int = 1,
) -> States:
    """Return the states of one of `world` devices, of which `expert_degree` share experts."""
    w, width = BYTES[precision], BYTES[optimizer_states]
    parameters, trained = model.parameters + model.adapter_parameters, model.trainable_parameters
    if stage == 0:
        return States(w * parameters, 0, MOMENTS * width * trained)
    optimizer = 0.0 if offload != "none" else (1 + MOMENTS) * width * trained / world
    if optimizer_name == "muon":
        # In place of moments: the momentum, and one more to try a step in, as wide as gradients and of whole matrices.
        (by_muon, part), _ = weight_groups(weights_of(model), model.layers, world, optimizer_name)
        optimizer += (
            2 * w * touched_elements(by_muon, part)[0] - MOMENTS * width * muon_parameters(model) / world
        )
    if stage < 3:
        return States(w * (held_parameters(model, expert_degree) + model.adapter_parameters), 0, optimizer)
    whole = (weights_of(model).vectors + _small_adapters(model)) * (1 - 1 / world)
    gradients = 0.0 if offload != "none" else w * trained / world
    return States(w * (parameters / world + whole), gradients, optimizer)


def _small_adapters(model: ModelPlan) -> int:
    """Return the elements of adapters that stage 3 does not shard, because they are small."""
    least = PERSISTENT_HIDDEN_SIZES * model.hidden_size
    sizes = (size for pair in adapter_matrices(model) for size in pair)
    return model.layers * sum(size for size in sizes if size < least)
