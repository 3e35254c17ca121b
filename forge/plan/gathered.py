"""Weights that ZeRO stage 3 holds whole: its fetching, prefetching and releasing, module by module.

DeepSpeed 0.19 gathers a module's weights before it runs, then prefetches those of the next modules up to a bucket; a
prefetched bucket exists twice until the last of its weights has been used once (one flat buffer, one copy a weight).
Weights are released after use unless they are used again within the reuse distance. This is that procedure, on
sizes alone.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import NamedTuple

from forge.plan.types import ModelPlan
from forge.plan.weights import weights_of

LIVE_BUCKETS = 10
"""Buckets of `stage3_max_live_parameters` and `stage3_max_reuse_distance` in forge's DeepSpeed config."""

PERSISTENT_HIDDEN_SIZES = 10
"""`stage3_param_persistence_threshold` in hidden sizes: smaller weights are never sharded."""


class Gathered(NamedTuple):
    """Elements gathered at the moments at which memory may peak."""

    loss: int
    layers: tuple[tuple[int, int], ...]
    """Pairs (layers whose backward pass is done, the most while the next one's runs): for the first to run backward,
    for the one with most, and for the last."""


class _Step(NamedTuple):
    weights: tuple[int, ...]
    """Indices into the list of sizes."""
    layer: int | None = None
    """Layers done, in a layer's backward pass."""
    at_loss: bool = False


@functools.lru_cache(maxsize=256)
def gathered_elements(
    model: ModelPlan, bucket_elements: int, recompute: bool, loss_chunks: int, world_size: int
) -> Gathered:
    """Return the elements that are whole on each device, weights that are never sharded left out."""
    last = model.layers - 1
    if world_size == 1:
        return Gathered(0, ((0, 0), (last, 0)))
    sizes, steps = _trace(model, recompute, loss_chunks)
    at_loss, layers, available = _run(sizes, steps, bucket_elements)
    viewed = last_viewed = 0
    if model.experts and not recompute:
        # The experts' kernel saves a view of its weights: what was released is alive until the layer's backward pass.
        experts = weights_of(model).layer[-1]
        released = len(experts) * model.layers - sum(1 for weight in available if sizes[weight] in experts)
        viewed = sum(experts) * released // len(experts)
        last_viewed = min(viewed, sum(experts))
    most = max(layers, key=lambda done: layers[done])
    chosen = sorted({0, most, last})
    return Gathered(
        at_loss + viewed,
        tuple((done, layers[done] + (last_viewed if done == last else viewed)) for done in chosen),
    )


def _trace(model: ModelPlan, recompute: bool, loss_chunks: int) -> tuple[list[int], list[_Step]]:
    """Return all sharded weights and the order in which modules use them in one forward and backward pass."""
    weights = weights_of(model)
    smallest = PERSISTENT_HIDDEN_SIZES * model.hidden_size
    sizes: list[int] = []

    def take(elements: tuple[int, ...]) -> tuple[int, ...]:
        sharded = [size for size in elements if size > smallest]
        sizes.extend(sharded)
        return tuple(range(len(sizes) - len(sharded), len(sizes)))

    embedding = take((weights.embedding,))
    layers = [[take(module) for module in weights.layer] for _ in range(model.layers)]
    head = embedding if weights.tied else take((weights.head,))
    steps = [_Step(embedding)]
    steps += [_Step(module) for layer in layers for module in layer if module]
    steps += [_Step(head, at_loss=True)] * loss_chunks
    steps += [_Step(head)] * (loss_chunks if loss_chunks == 1 else 2 * loss_chunks)
    for done, layer in enumerate(reversed(layers)):
        used = [module for module in layer if module]
        if recompute:
            steps += [_Step(module, done) for module in used]
        steps += [_Step(module, done) for module in _backward(used, bool(model.experts))]
    steps.append(_Step(embedding))
    return sizes, steps


def _backward(modules: list[tuple[int, ...]], experts: bool) -> list[tuple[int, ...]]:
    """Modules of a layer in the order their gradients come: that of their outputs, reversed."""
    if experts:
        return modules[::-1]
    *attention, gate, up, down = modules
    return [down, up, gate, *attention[::-1]]


def _run(sizes: list[int], steps: list[_Step], bucket: int) -> tuple[int, dict[int, int], set[int]]:
    """Carry the steps out; return elements whole at the loss, the most in each layer's backward pass by layers done,
    and the weights available at the loss.
    """
    limit = LIVE_BUCKETS * bucket
    available: set[int] = set()
    in_flight: dict[int, list[int]] = {}
    handles: list[tuple[set[int], int]] = []  # weights not yet waited for, elements of the flat buffer
    copied: set[int] = set()
    fetched_for = [-1] * len(sizes)
    queue = deque((weight, number) for number, step in enumerate(steps) for weight in step.weights)
    next_use, ends = _reuse(sizes, steps, limit)
    layers: dict[int, int] = {}
    held = live = held_at_loss = 0
    available_at_loss: set[int] = set()

    def gather(weights: list[int]) -> int:
        nonlocal live
        count = sum(sizes[weight] for weight in weights)
        live += count
        if len(weights) == 1:
            in_flight[weights[0]] = []
            return count
        handles.append((set(weights), count))
        for weight in weights:
            in_flight[weight] = [len(handles) - 1]
        return count

    for number, (weights, layer, at_loss) in enumerate(steps):
        missing = [weight for weight in weights if weight not in available and weight not in in_flight]
        if missing:
            held += gather(missing)
        for weight in weights:
            if weight in in_flight:
                for handle in in_flight.pop(weight):
                    waiting, flat = handles[handle]
                    if handle not in copied:
                        held += flat  # every weight of the buffer is copied out at the first wait
                        copied.add(handle)
                    waiting.discard(weight)
                    if not waiting:
                        held -= flat
                available.add(weight)
        new = {weight for weight in weights if fetched_for[weight] < number}
        seen: set[int] = set()
        while queue and len(seen) < len(new):
            weight, last = queue.popleft()
            fetched_for[weight] = last
            seen.add(weight)
        room, wanted, count = min(limit - live, bucket), [], 0
        while queue and count < room:
            weight, last = queue.popleft()
            fetched_for[weight] = max(fetched_for[weight], last)
            if weight not in available and weight not in in_flight and weight not in wanted:
                wanted.append(weight)
                count += sizes[weight]
        if wanted:
            held += gather(wanted)
        if at_loss:
            held_at_loss, available_at_loss = held, set(available)
        if layer is not None:
            layers[layer] = max(layers.get(layer, 0), held)
        for weight in weights:
            if (
                weight in available
                and fetched_for[weight] <= number
                and next_use[number][weight] >= ends[number]
            ):
                available.discard(weight)
                held -= sizes[weight]
                live -= sizes[weight]
    return held_at_loss, layers, available_at_loss


def _reuse(sizes: list[int], steps: list[_Step], limit: int) -> tuple[list[dict[int, int]], list[int]]:
    """Return, for each step, when its weights are used next, and the first step beyond the reuse distance."""
    count = len(steps)
    next_use: list[dict[int, int]] = [{} for _ in steps]
    later: dict[int, int] = {}
    for number in range(count - 1, -1, -1):
        for weight in steps[number].weights:
            next_use[number][weight] = later.get(weight, count + 1)
            later[weight] = number
    ends, end, distance = [], 0, 0
    for number in range(count):
        if end <= number:
            end, distance = number + 1, 0
        while end < count and distance < limit:
            distance += sum(sizes[weight] for weight in steps[end].weights)
            end += 1
        ends.append(end)
        if end > number + 1:
            distance -= sum(sizes[weight] for weight in steps[number + 1].weights)
    return next_use, ends
