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
from forge.plan.weights import held_parameters, held_weights, weights_of

LIVE_BUCKETS = 10
"""Buckets of `stage3_max_live_parameters` and `stage3_max_reuse_distance` in forge's DeepSpeed config."""

PERSISTENT_HIDDEN_SIZES = 10
"""`stage3_param_persistence_threshold` in hidden sizes: smaller weights are never sharded."""


class Gathered(NamedTuple):
    """Elements gathered at the moments at which memory may peak."""

    loss: int
    forward: tuple[tuple[int, int], ...]
    """Pairs (layers done, the most while the next one runs forward): for the one with most, and for the last."""
    layers: tuple[tuple[int, int], ...]
    """Pairs (layers whose backward pass is done, the most while the next one's runs): for the first to run backward,
    for the one with most, and for the last."""


class _Step(NamedTuple):
    weights: tuple[int, ...]
    """Indices into the list of sizes."""
    layer: int | None = None
    """Layers done, in a layer's backward pass."""
    forward: int | None = None
    """Layers done, in a layer's forward pass."""
    at_loss: bool = False
    recursive: int = 0
    """Elements of its weights and of those of the modules in it."""
    experts: bool = False
    """A mixture of experts, which DeepSpeed treats as one module (a leaf)."""
    whole: bool = False
    """The whole network."""
    heavy: bool = False
    """Its backward pass is a moment at which memory may peak."""


@functools.lru_cache(maxsize=256)
def gathered_elements(
    model: ModelPlan,
    bucket_elements: int,
    recompute: bool,
    loss_chunks: int,
    world_size: int,
    expert_degree: int = 1,
) -> Gathered:
    """Return the elements that are whole on each device, weights that are never sharded left out.

    Where `expert_degree` devices share experts, those that others hold are never gathered.
    """
    last = model.layers - 1
    if world_size == 1:
        return Gathered(0, ((last, 0),), ((0, 0), (last, 0)))
    sizes, steps = _trace(model, recompute, loss_chunks, expert_degree)
    at_loss, forward, layers, available = _run(sizes, steps, bucket_elements)
    viewed = last_viewed = 0
    if model.experts and not recompute:
        # The experts' kernel saves a view of its weights: what was released is alive until the layer's backward pass.
        experts = held_weights(weights_of(model), expert_degree).layer[-1][-2:]
        released = len(experts) * model.layers - sum(1 for weight in available if sizes[weight] in experts)
        viewed = sum(experts) * released // len(experts)
        last_viewed = min(viewed, sum(experts))
    most = max(layers, key=lambda done: layers[done])
    chosen = sorted({0, most, last})
    most_forward = max(forward, key=lambda done: forward[done])
    return Gathered(
        at_loss + viewed,
        tuple((done, forward[done] + viewed * done // model.layers) for done in sorted({most_forward, last})),
        tuple((done, layers[done] + (last_viewed if done == last else viewed)) for done in chosen),
    )


@functools.lru_cache(maxsize=16)
def _trace(
    model: ModelPlan, recompute: bool, loss_chunks: int, expert_degree: int
) -> tuple[list[int], list[_Step]]:
    """Return all sharded weights, and the modules in the order they run in one forward and backward pass.

    Modules without sharded weights of their own are in it: they too start a prefetch.
    """
    weights = held_weights(weights_of(model), expert_degree)
    smallest = PERSISTENT_HIDDEN_SIZES * model.hidden_size
    sizes: list[int] = []

    def take(elements: tuple[int, ...]) -> tuple[int, ...]:
        sharded = [size for size in elements if size > smallest]
        sizes.extend(sharded)
        return tuple(range(len(sizes) - len(sharded), len(sizes)))

    embedding = _Step(take((weights.embedding,)), recursive=weights.embedding)
    layers = [
        _Layer(
            [take(module) for module in weights.layer],
            weights.layer_elements,
            bool(model.experts),
            model.has_qk_norm,
        )
        for _ in range(model.layers)
    ]
    head = embedding if weights.tied else _Step(take((weights.head,)), recursive=weights.head)
    network = _Step((), recursive=held_parameters(model, expert_degree), whole=True)
    rotary = norm = _EMPTY
    steps = [network, network, embedding, rotary]
    for done, layer in enumerate(layers):
        steps += [step._replace(forward=done) for step in layer.forward]
    steps += [norm, *[head._replace(at_loss=True)] * loss_chunks]
    steps += [network, *[head] * (1 if loss_chunks == 1 else 2 * loss_chunks), network, norm]
    for done, layer in enumerate(reversed(layers)):
        order = layer.backward
        if recompute:  # it starts when the last module needs what it had saved
            again = [*layer.forward[1:-1], layer.forward[-1]._replace(heavy=True)]
            order = [*order[: layer.needs], *again, *order[layer.needs :]]
        steps += [step._replace(layer=done) if step.heavy else step for step in order]
    steps.append(embedding)
    return sizes, steps


_EMPTY = _Step(())


class _Layer:
    """The modules of a layer in the order they run, forward, and backward: the order of their outputs, reversed."""

    def __init__(
        self, modules: list[tuple[int, ...]], elements: int, experts: bool, norms_heads: bool
    ) -> None:
        whole = _Step((), recursive=elements)
        query, key, value, output, *rest = [_Step(module) for module in modules]
        norm = attention = feed_forward = activation = _EMPTY
        head_norm = [_EMPTY] if norms_heads else []
        after = [norm, attention, output, value, *head_norm, key, *head_norm, query, norm]
        self.forward = [whole, norm, attention, query, *head_norm, key, *head_norm, value, output, norm]
        if experts:
            mixture = rest[0]._replace(experts=True)
            self.forward.append(mixture)
            self.backward = [whole, mixture._replace(heavy=True), *after]
            self.needs = 2
        else:
            gate, up, down = rest
            self.forward += [feed_forward, gate, activation, up, down]
            heavy = [down._replace(heavy=True), up._replace(heavy=True)]
            self.backward = [whole, feed_forward, *heavy, activation, gate, *after]
            self.needs = 3


class _Buffer:
    """The flat buffer of weights gathered together."""

    __slots__ = ("copied", "elements", "waiting")

    def __init__(self, weights: list[int], elements: int) -> None:
        self.waiting = set(weights)
        self.elements = elements
        self.copied = False


class _Coordinator:
    """DeepSpeed's partitioned parameter coordinator, on sizes."""

    def __init__(self, sizes: list[int], steps: list[_Step], bucket: int) -> None:
        self._sizes, self._bucket = sizes, bucket
        self._limit = LIVE_BUCKETS * bucket
        self._queue = deque((weight, number) for number, step in enumerate(steps) for weight in step.weights)
        self._fetched_for = [-1] * len(sizes)
        self._in_flight: dict[int, _Buffer | None] = {}
        self._live = 0
        self.available: set[int] = set()
        self.held = 0
        """Elements in memory, copies counted."""

    def fetch(self, number: int, weights: tuple[int, ...]) -> None:
        """Make the weights of step `number` available, then start on those of later steps."""
        missing = [
            weight for weight in weights if weight not in self.available and weight not in self._in_flight
        ]
        if missing:
            self._gather(missing)
        for weight in weights:
            if weight in self._in_flight:
                self._wait(weight, self._in_flight.pop(weight))
                self.available.add(weight)
        new = sum(1 for weight in weights if self._fetched_for[weight] < number)
        for _ in range(min(new, len(self._queue))):
            weight, last = self._queue.popleft()
            self._fetched_for[weight] = last
        self._prefetch()

    def release(self, number: int, weights: tuple[int, ...]) -> None:
        """Free the weights of step `number` that no prefetch has passed over for a later one."""
        for weight in weights:
            if weight in self.available and self._fetched_for[weight] <= number:
                self.available.discard(weight)
                self.held -= self._sizes[weight]
                self._live -= self._sizes[weight]

    def _prefetch(self) -> None:
        room, wanted, elements = min(self._limit - self._live, self._bucket), [], 0
        while self._queue and elements < room:
            weight, last = self._queue.popleft()
            self._fetched_for[weight] = max(self._fetched_for[weight], last)
            if weight not in self.available and weight not in self._in_flight and weight not in wanted:
                wanted.append(weight)
                elements += self._sizes[weight]
        if wanted:
            self._gather(wanted)

    def _gather(self, weights: list[int]) -> None:
        elements = sum([self._sizes[weight] for weight in weights])
        self.held += elements
        self._live += elements
        # One weight alone is gathered in place.
        buffer = _Buffer(weights, elements) if len(weights) > 1 else None
        for weight in weights:
            self._in_flight[weight] = buffer

    def _wait(self, weight: int, buffer: _Buffer | None) -> None:
        if buffer is None:
            return
        if not buffer.copied:  # the first wait copies every weight out of the buffer
            self.held += buffer.elements
            buffer.copied = True
        buffer.waiting.discard(weight)
        if not buffer.waiting:
            self.held -= buffer.elements


def _run(
    sizes: list[int], steps: list[_Step], bucket: int
) -> tuple[int, dict[int, int], dict[int, int], set[int]]:
    """Carry the steps out; return elements whole at the loss, the most in each layer's forward and backward pass, by
    layers done, and the weights available at the loss.
    """
    coordinator = _Coordinator(sizes, steps, bucket)
    used_again = _used_again(sizes, steps, LIVE_BUCKETS * bucket)
    forward: dict[int, int] = {}
    layers: dict[int, int] = {}
    held_at_loss, available_at_loss = 0, set[int]()
    for number, step in enumerate(steps):
        coordinator.fetch(number, step.weights)
        if step.at_loss:
            held_at_loss, available_at_loss = coordinator.held, set(coordinator.available)
        if step.forward is not None:
            forward[step.forward] = max(forward.get(step.forward, 0), coordinator.held)
        if step.layer is not None:
            layers[step.layer] = max(layers.get(step.layer, 0), coordinator.held)
        if not used_again[number]:
            coordinator.release(number, step.weights)
    return held_at_loss, forward, layers, available_at_loss


def _used_again(sizes: list[int], steps: list[_Step], distance: int) -> list[bool]:
    """Return, for each step, whether its weights are used again before `distance` elements have been.

    For a mixture of experts DeepSpeed looks into every module, so that the whole network's backward pass is a use of
    it; for another module it looks at no module's children, and does not see the weights of experts at all.
    """
    count = len(steps)
    own = [0 if step.experts else sum([sizes[weight] for weight in step.weights]) for step in steps]
    next_use = [count] * count
    later: dict[int, int] = {}
    whole = count
    for number in range(count - 1, -1, -1):
        step = steps[number]
        if step.whole:
            whole = number
        for first in step.weights[:1]:  # a module's weights are always used together
            next_use[number] = min(later.get(first, count), whole if step.experts else count)
            later[first] = number
    reach = _reach(own, distance)
    if not any(step.experts for step in steps):
        return [use < end for use, end in zip(next_use, reach, strict=True)]
    below = [step.recursive or sum([sizes[weight] for weight in step.weights]) for step in steps]
    deep = _reach(below, distance)
    return [
        use < (deep[number] if steps[number].experts else reach[number])
        for number, use in enumerate(next_use)
    ]


def _reach(amounts: list[int], distance: int) -> list[int]:
    """Return, for each step, the first of the later ones that lies beyond `distance` elements."""
    ends, end, reached, count = [], 1, 0, len(amounts)
    for number in range(count):
        if end <= number:
            end, reached = number + 1, 0
        while end < count and reached < distance:
            reached += amounts[end]
            end += 1
        ends.append(end)
        if end > number + 1:
            reached -= amounts[number + 1]
    return ends
