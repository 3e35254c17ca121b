"""The weights of a network one by one, in the order in which its modules hold them."""

from __future__ import annotations

import functools
from typing import NamedTuple

from forge.plan.lora import adapter_matrices
from forge.plan.types import ModelPlan


class Weights(NamedTuple):
    """Elements of each matrix. Vectors (norms, biases) are only counted: they are small."""

    embedding: int
    layer: tuple[tuple[int, ...], ...]
    """The matrices of one layer, by the module that DeepSpeed gathers them for, in the order they run: q, k, v, o, then
    gate, up, down, or all of a mixture of experts at once (router, gate and up, down).
    """
    head: int
    """Also where the embedding is used again, tied."""
    tied: bool
    layer_vectors: int
    vectors: int
    """All of them."""
    expert_degree: int = 1
    """Devices that share the experts: the last two matrices of a layer are then those of one of them."""

    @property
    def layer_matrices(self) -> tuple[int, ...]:
        """All matrices of one layer."""
        return tuple(elements for module in self.layer for elements in module)

    @property
    def layer_elements(self) -> int:
        """Elements of one layer."""
        return sum(self.layer_matrices) + self.layer_vectors


@functools.lru_cache(maxsize=64)
def trained_weights(model: ModelPlan) -> Weights:
    """Return the weights that get gradients: all, or those of the adapters, which are in no embedding and no head."""
    if not model.lora_rank:
        return weights_of(model)
    return Weights(embedding=0, layer=adapter_matrices(model), head=0, tied=False, layer_vectors=0, vectors=0)


def held_weights(weights: Weights, expert_degree: int) -> Weights:
    """Return those of `weights` that a device has or, sharded, has a share in, where `expert_degree` share experts."""
    if expert_degree == 1:
        return weights
    *attention, (router, up, down) = weights.layer
    layer = (*attention, (router, up // expert_degree, down // expert_degree))
    return weights._replace(layer=layer, expert_degree=expert_degree)


def held_parameters(model: ModelPlan, expert_degree: int) -> int:
    """Return the parameters that are not on other devices alone, where `expert_degree` share experts."""
    weights = weights_of(model)
    held = held_weights(weights, expert_degree)
    return model.parameters - model.layers * (weights.layer_elements - held.layer_elements)


@functools.lru_cache(maxsize=64)
def weights_of(model: ModelPlan) -> Weights:
    """Return the weights of `model` as transformers lays them out."""
    h, i = model.hidden_size, model.intermediate_size
    query, key_value = model.query_width, model.kv_width
    attention: tuple[tuple[int, ...], ...] = ((h * query,), (h * key_value,), (h * key_value,), (query * h,))
    if model.experts:
        router, up, down = model.experts * h, model.experts * 2 * i * h, model.experts * i * h
        feed_forward: tuple[tuple[int, ...], ...] = ((router, up, down),)
    else:
        feed_forward = ((h * i,), (h * i,), (h * i,))
    head = model.vocab_size * h
    layer_vectors = 2 * h + model.attention_vectors
    return Weights(
        embedding=model.vocab_size * h,
        layer=attention + feed_forward,
        head=head,
        tied=model.tied_embeddings,
        layer_vectors=layer_vectors,
        vectors=model.layers * layer_vectors + h,
    )
