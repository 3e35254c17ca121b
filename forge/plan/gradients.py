"""Gradients of one device, and the buffers they are reduced in, moment by moment, as DeepSpeed 0.19 handles them.

Read from its code and measured by `benchmarks/memory.py`; `forge.plan.memory` adds them to what else is alive.
"""

from __future__ import annotations

from forge.plan.layout import Optimizer
from forge.plan.weights import Weights

ALL_REDUCE_ELEMENTS = 500_000_000
"""Elements that stage 0 reduces in one buffer (DeepSpeed's engine)."""


class Gradients:
    """Gradients of a backward pass and the buffers they are reduced in, in bytes, as DeepSpeed 0.19 handles them.

    Stage 0, and stage 1 on one device: all stay until the step. Stage 1 on more: those smaller than a bucket are
    moved into the two buckets as they come, larger ones stay. Stage 2: reduced and freed as they come. In both, whole
    weights that touch the device's own part are copied to a buffer of their own. Stage 3: a buffer of the device's
    part is always there (not counted here).

    With the optimizer on the host gradients go there as they are reduced, through one buffer of the largest weight at
    stages 1 and 2, and nothing of the step is left on the device but the norm.
    """

    def __init__(
        self,
        weights: Weights,
        layers: int,
        w: int,
        stage: int,
        world: int,
        bucket: int,
        accumulates: bool,
        offloads: bool,
        casts: bool,
        optimizer: Optimizer,
    ) -> None:
        limit = bucket // w
        every = weights.head + layers * weights.layer_elements + (0 if weights.tied else weights.embedding)
        stays = stage == 0 or (stage == 1 and world == 1)
        large = sum(size for size in weights.layer_matrices if size > limit)
        head_stays = stays or (stage == 1 and weights.head > limit)
        self._layer = w * (weights.layer_elements if stays else large if stage == 1 else 0)
        self._head = w * weights.head if head_stays or weights.tied else 0.0
        # The feed-forward part's last two matrices, the first to get their gradients.
        last = weights.layer_matrices[:-3:-1]
        self._last = (w * last[0], w * last[1])
        self._pending = stays or last[0] > limit
        groups = weight_groups(weights, layers, world if stage else 1, optimizer)
        touches = [touched_elements(sizes, share) for sizes, share in groups]
        touched, largest_slice = sum(each for each, _ in touches), max(largest for _, largest in touches)
        own = w * touched if stage in (1, 2) and not offloads else 0.0
        self._own, self._copies = own, stage == 1 and world > 1 and not weights.tied

        self.before = 0.0
        """Alive when a micro-batch begins: sums of the earlier ones."""
        if accumulates:
            self.before = w * every if stage <= 1 else own
        self._whole = w * every if accumulates and stage <= 1 else 0.0
        moves = stage == 1 and world > 1  # sums too are moved into the buckets, where they are small
        self._moved_head = w * weights.head if moves and weights.head <= limit and not weights.tied else 0.0
        self._moved_layer = w * (weights.layer_elements - large) if moves else 0.0
        self._kept_before = self.before if stage == 2 else 0.0
        self._kept = 0.0 if stays else own + self._kept_before
        through = w * largest_weight(weights) if offloads and stage < 3 else 0.0
        self.buckets = 0.0 if stage == 0 else 2.0 * bucket if stage < 3 and world > 1 else float(bucket)
        self.buckets_before = self.buckets if stage == 3 or (stage == 1 and accumulates) else 0.0
        self.buckets += through
        self.buckets_before += through

        # Stage 3 copies a bucket to reduce it; at the other stages gradients are reduced where they lie.
        self._reducing = float(bucket) if stage == 3 and world > 1 else 0.0
        self.reducing_head = 0.0
        self._in_bucket = 0 if weights.tied or weights.head > limit else weights.head
        self._layer_elements, self._limit, self._w = weights.layer_elements, limit, w
        self._reduces_at_once = weights.head > limit and not weights.tied
        self.first_reduced = 0
        """Layers done when the first bucket is full and is reduced."""
        if not stays and not large and not self._reduces_at_once:
            self.first_reduced = min((limit - self._in_bucket) // weights.layer_elements, layers - 1)
        if stage in (1, 2) and world > 1 and weights.head > limit and not weights.tied:
            self.reducing_head = own
        # Where gradients are summed in place, the head's new one is gone by now.
        self.with_head = self.before + (0.0 if self._whole else w * weights.head)
        self.reducing_all = 0.0
        """Stage 1 on one device copies every gradient when all are there."""
        if stage == 1 and world == 1:
            self.reducing_all = w * every * (1 if offloads else 2)

        # The step: the owned part, once more flat when it is made of several weights, and in fp32.
        self.owned = own if stage in (1, 2) else w * every if stage == 0 else 0.0
        if optimizer == "muon":  # what it came from stays beside the update
            self.owned += w * touches[0][0]
        several = touched > max(weights.head, largest_slice)
        part = max(share for _, share in groups)  # one after another
        if stage == 0:
            self.norm = 0.0
            self.step: float = w * _first_buffer(weights, layers)
        elif stage == 3:
            self.norm = 8 * max(weights.head, *weights.layer_matrices) / world
            self.step = ((4 if casts or w == 4 else 0) + w) * part
        else:
            self.norm = 8 * largest_slice
            self.step = (4 if casts else 0) * part + (w * part if several else 0)
        if offloads:
            self.step = 0.0

    def after(self, layers: int, more: int = 0) -> float:
        """Return gradients alive when those of the head, of `layers` layers and of `more` weights have been made."""
        kept = self._kept if self._reduced_by(layers, more) else self._kept_before
        if self._whole:
            return self._whole - self._moved_head - layers * self._moved_layer + kept
        made = self._head + layers * self._layer
        if self._copies:  # what touches the own part has been copied there
            made = max(0.0, made - self._own)
        return made + kept

    def reducing(self, layers: int, more: int = 0) -> float:
        """Return the copy of a bucket that is being reduced then, beyond what `after` says."""
        return self._reducing if self._reduced_by(layers, more) else 0.0

    def _reduced_by(self, layers: int, more: int) -> bool:
        """Whether a bucket has been full by then."""
        return self._reduces_at_once or self._made(layers, more) > self._limit

    def _made(self, layers: int, more: int) -> int:
        """Return the elements that have gone through buckets by then."""
        return int(self._in_bucket + layers * self._layer_elements + sum(self._last[:more]) // self._w)

    def fresh(self, weights: int) -> float:
        """Return gradients of the `weights` weights just made, of which all but one may have been moved away."""
        if weights < 2:
            return self._last[0] if weights else 0.0
        return sum(self._last) if self._pending else max(self._last)


def largest_weight(weights: Weights) -> int:
    """Return the elements of the largest weight."""
    return max(weights.embedding, *weights.layer_matrices)


def _first_buffer(weights: Weights, layers: int) -> int:
    """Return elements of the largest buffer stage 0 reduces gradients in: whole weights until they are enough."""
    largest = group = 0
    for size in (weights.embedding, *weights.layer_matrices * layers, 0 if weights.tied else weights.head):
        group += size
        largest = max(largest, group)
        if group > ALL_REDUCE_ELEMENTS:
            group = 0
    return largest


def weight_groups(
    weights: Weights, layers: int, world: int, optimizer: Optimizer
) -> list[tuple[list[int], float]]:
    """Return the groups of weights that are shared by the devices one after another, Muon's first, experts that devices
    share before all others: the elements of each weight, from the group's end, and of a device's part of it."""
    last = weights.layer_matrices[::-1]
    head = [] if weights.tied else [weights.head]
    groups = [[*head, *list(last) * layers, weights.embedding]]
    if optimizer == "muon":  # which has the largest first
        groups = [sorted(list(last) * layers), [*head, weights.embedding]]
    if weights.expert_degree > 1:
        groups = [list(last[:2]) * layers, [*head, *list(last[2:]) * layers, weights.embedding]]
    vectors = layers * weights.layer_vectors
    parts = [(sum(sizes) + (vectors if sizes is groups[-1] else 0)) / world for sizes in groups]
    if weights.expert_degree > 1:
        parts[0] *= weights.expert_degree  # so many fewer hold them
    return list(zip(groups, parts, strict=True))


def touched_elements(sizes: list[int], part: float) -> tuple[int, float]:
    """Return (elements of all weights that the last `part` elements touch, the most that one of them has in it)."""
    touched, largest, left = 0, 0.0, part
    for size in sizes:
        if left <= 0:
            break
        touched += size
        largest = max(largest, min(size, left))
        left -= size
    return touched, largest
