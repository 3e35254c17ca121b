"""Time of one optimizer step: a roofline, item by item.

Matrix products run at the measured ceiling of the chip, less what their shape and a long run cost. Element-wise
kernels run at the memory's bandwidth, for the bytes counted in `forge.plan.efficiency`. Transfers are those of
`forge.plan.communication`, less what compute hides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from forge.plan.communication import expert_parallel_s, sequence_parallel_s, zero_exchange
from forge.plan.cpu_time import cpu_step
from forge.plan.efficiency import (
    FORGE_FRAMEWORK,
    HOST_EXPERT_S,
    MODULES_A_LAYER,
    MODULES_AN_EXPERT,
    Framework,
    constants,
    generation_of,
)
from forge.plan.fp8 import linear_time_ratio
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout, stored_precision
from forge.plan.step import StepTime
from forge.plan.types import ModelPlan
from forge.plan.update_time import Update, update_time

LOADER_S = 0.0005
"""Of each micro-batch: token shards are memory-mapped, what remains is the copy to the device."""

ATTENTION_BACKWARD_RATIO = 2.5
"""Fused attention computes the scores again: five products backward for two forward (Dao 2022)."""

ATTENTION_RAMP_TOKENS = 400
"""Sequence length at which causal fused attention reaches half its speed: masked blocks, few tiles."""

HALF_HEAD = 40
"""Head size at which fused attention reaches half its speed: 64 gives 0.81 of what 128 gives (Dao 2023, fig. 4).
FlashAttention-1 is no faster with 128."""

EAGER_CAST_BYTES = 37.0
"""For each element that is cast to fp8 kernel by kernel: magnitude and its maximum (6), conversion to fp32 (6), scaling
(8), clamping (8), conversion to fp8 (5), and a copy into the layout that the product wants (4)."""


@dataclass(frozen=True, slots=True)
class _Compute:
    """Seconds of one micro-batch on one device."""

    matmul_s: float
    attention_s: float
    memory_bound_s: float
    recompute_s: float
    all_to_all_s: float
    device_s: float
    """All but the all-to-alls: what transfers can hide behind."""
    host_s: float
    """To launch it all."""
    hooks_s: float
    """The host's time in DeepSpeed's hooks, at stage 3."""


class StepTimer:
    """Step times of one model on one hardware. What depends on few choices is computed once for all layouts.

    Args:
        model: the network.
        hardware: devices and links.
        sequence_length: tokens in a sequence.
        framework: what runs the step.
        values: the fitted constants; None: those that forge ships.
        shard_ranks: devices that share one copy of the states (hybrid sharding); None: all.
        linear_speedup: of linear layers over the precision of the layout (fp8 in frameworks other than forge).
        eager_casts: whether what goes into those layers is cast to fp8 kernel by kernel (torchao without a compiler).
    """

    def __init__(
        self,
        model: ModelPlan,
        hardware: Hardware,
        sequence_length: int,
        framework: Framework = FORGE_FRAMEWORK,
        values: Mapping[str, float] | None = None,
        shard_ranks: int | None = None,
        linear_speedup: float = 1.0,
        eager_casts: bool = False,
    ) -> None:
        self.model = model
        self.hardware = hardware
        self.sequence_length = sequence_length
        self._framework = framework
        self._values = constants() if values is None else values
        self._shard_ranks = shard_ranks
        self._linear_speedup = linear_speedup
        self._eager_casts = eager_casts
        self._generation = generation_of(hardware.gpu)
        self._bandwidth = hardware.memory_bytes_per_s * self._values["hbm"]
        self._share = self._values[f"exposed.{framework.key}"]
        if self._generation == "volta":
            self._share = max(self._share, self._values["exposed.volta"])
        # A loop over experts asks the device which tokens go where, so the host can't issue transfers ahead.
        self._waits_for_experts = bool(model.experts and framework.looped_experts)
        self._compute: dict[tuple[object, ...], _Compute] = {}
        self._exposed: dict[tuple[object, ...], tuple[float, float, float]] = {}
        self._states: dict[tuple[object, ...], Update] = {}

    def step_s(self, layout: Layout) -> float:
        """Return seconds of one optimizer step."""
        if self.hardware.device == "cpu":
            return self.step(layout).total_s
        compute, exchange, states = self._parts(layout)
        host_s = self._host_s(compute, layout)
        waits = self._waits(exchange[0], compute.device_s) if exchange[0] else 0.0
        micro_batch = max(compute.device_s + waits, host_s) + compute.all_to_all_s
        # About half of a micro-batch is still to be computed when the first gradients can leave.
        rest = self._waits(exchange[1], max(compute.device_s, host_s) / 2) if exchange[1] else 0.0
        steps = layout.gradient_accumulation_steps
        once = rest + exchange[2] + states.optimizer_s + states.offload_s + (steps - 1) * states.sums_s
        return steps * (micro_batch + states.offload_micro_batch_s + states.copies_s + LOADER_S) + once

    def step(self, layout: Layout) -> StepTime:
        """Return one optimizer step, item by item."""
        if self.hardware.device == "cpu":
            return cpu_step(self.model, layout, self.hardware, self.sequence_length)
        compute, exchange, states = self._parts(layout)
        steps = layout.gradient_accumulation_steps
        host_s = self._host_s(compute, layout)
        waits = self._waits(exchange[0], compute.device_s)
        rest = self._waits(exchange[1], max(compute.device_s, host_s) / 2)
        return StepTime(
            matmul_s=steps * compute.matmul_s,
            attention_s=steps * compute.attention_s,
            memory_bound_s=steps * (compute.memory_bound_s + states.copies_s) + (steps - 1) * states.sums_s,
            recompute_s=steps * compute.recompute_s,
            launch_s=steps * max(0.0, host_s - compute.device_s - waits),
            communication_s=steps * waits + rest + exchange[2],
            all_to_all_s=steps * compute.all_to_all_s,
            optimizer_s=states.optimizer_s,
            offload_s=states.offload_s + steps * states.offload_micro_batch_s,
            loader_s=steps * LOADER_S,
        )

    def _host_s(self, compute: _Compute, layout: Layout) -> float:
        return compute.host_s + (compute.hooks_s if layout.zero_stage == 3 else 0.0)

    def _parts(self, layout: Layout) -> tuple[_Compute, tuple[float, float, float], Update]:
        """Return compute, transfers and state updates, each from its own cache."""
        key: tuple[object, ...] = (
            layout.micro_batch_sequences,
            layout.activation_checkpointing,
            layout.precision,
            layout.attention,
            layout.sequence_parallel_degree,
            layout.loss_chunks > 1,
            layout.expert_parallel_degree,
        )
        compute = self._compute.get(key)
        if compute is None:
            compute = self._compute[key] = self._micro_batch(layout)
        key = (
            layout.zero_stage,
            layout.bucket_bytes,
            layout.hpz_partition_size,
            layout.precision,
            layout.expert_parallel_degree,
        )
        exchange = self._exposed.get(key)
        if exchange is None:
            found = zero_exchange(
                self.model, layout, self.hardware, self._framework, self._values, self._shard_ranks
            )
            exchange = (found.micro_batch_s, found.last_backward_s, found.after_backward_s)
            self._exposed[key] = exchange
        key = (
            layout.zero_stage,
            layout.offload_optimizer,
            layout.offload_parameters,
            layout.precision,
            layout.optimizer_states,
            layout.optimizer,
            layout.expert_parallel_degree,
        )
        states = self._states.get(key)
        if states is None:
            states = self._states[key] = update_time(
                self.model,
                layout,
                self.hardware,
                self._framework,
                self._generation,
                self._bandwidth,
                self._shard_ranks,
            )
        return compute, exchange, states

    def _waits(self, transfer_s: float, compute_s: float) -> float:
        """Return what is left of transfers: a share that nothing can hide, and what compute is too short to hide."""
        if self._waits_for_experts:
            return transfer_s
        share = self._share
        cover = self._values["contention"] * compute_s
        return share * transfer_s + max(0.0, (1 - share) * transfer_s - cover)

    def _micro_batch(self, layout: Layout) -> _Compute:
        """Forward and backward pass of one micro-batch."""
        model, framework = self.model, self._framework
        degree = layout.sequence_parallel_degree
        tokens = layout.micro_batch_sequences * self.sequence_length / degree
        width_ratio = 2 if layout.precision == "fp32" else 1
        linear_forward, linear_backward, last_product = self._linear(layout, tokens)
        head = self._products(layout, tokens, model.hidden_size, model.vocab_size)
        if model.lora_rank:
            # Of frozen weights there is no gradient: the backward pass is the product for the input alone. What the
            # adapters take is left out.
            linear_backward, head = linear_backward / 2, head * 2 / 3
        if layout.loss_chunks > 1:
            head *= 4 / 3  # the logits of a chunk are made again in the backward pass
        attention_forward, attention_backward = self._attention(layout, tokens)
        kernels = framework.kernels
        query = (model.attention_heads + model.kv_heads) * model.head_dim
        active = max(model.experts_per_token, 1)
        layer_bytes = kernels.hidden_bytes * model.hidden_size + kernels.query_bytes / 2 * query
        layer_bytes += kernels.feed_forward_bytes * model.intermediate_size * active
        if model.experts:
            # Tokens are copied to their experts and summed up again.
            layer_bytes += 20.0 * active * model.hidden_size
        if layout.expert_parallel_degree > 1:
            # Copied once more, to be sent in the order of the devices, each way.
            layer_bytes += 8.0 * active * model.hidden_size
        forward_bytes = width_ratio * tokens * model.layers * layer_bytes
        memory_forward = forward_bytes / self._bandwidth
        memory_backward = memory_forward * kernels.backward_ratio
        logits = tokens * model.vocab_size * kernels.logits_bytes / self._bandwidth
        recompute, host_ratio, passes = 0.0, 1.0, 2
        if layout.activation_checkpointing == "full":
            recompute, host_ratio, passes = linear_forward + attention_forward + memory_forward, 4 / 3, 3
            if framework.recompute_stops_early:
                recompute -= last_product
        elif layout.activation_checkpointing == "selective":
            again, host_ratio = framework.selective, 7 / 6
            recompute = again.linear * linear_forward + again.attention * attention_forward
            recompute += again.element_wise * memory_forward
        matmul = linear_forward + linear_backward + head
        attention = attention_forward + attention_backward
        memory = memory_forward + memory_backward + logits
        device_s = matmul + attention + memory + recompute
        host_s, hooks_s = self._host(host_ratio)
        all_to_all = sequence_parallel_s(
            model, self.hardware, degree, int(tokens), 2 * width_ratio, passes, self._values
        )
        all_to_all += expert_parallel_s(
            model,
            self.hardware,
            layout.expert_parallel_degree,
            int(tokens),
            2 * width_ratio,
            2 if layout.activation_checkpointing == "none" else 3,
            self._values,
        )
        return _Compute(matmul, attention, memory, recompute, all_to_all, device_s, host_s, hooks_s)

    def _host(self, ratio: float) -> tuple[float, float]:
        """Return the host's seconds for one micro-batch: launching kernels, and DeepSpeed's hooks at stage 3."""
        layers, framework = self.model.layers, self._framework
        looped = self.model.experts if framework.looped_experts else 0
        launching = ratio * layers * (framework.host_layer_s + looped * HOST_EXPERT_S)
        if not framework.gathers_by_module:
            return launching, 0.0
        modules = layers * (MODULES_A_LAYER + looped * MODULES_AN_EXPERT)
        return launching, max(0.0, ratio * modules * self._values["hooks_s"] - launching)

    def _linear(self, layout: Layout, tokens: float) -> tuple[float, float, float]:
        """Return seconds of the layers' linear products, forward and backward, and of the last of a layer, forward.

        With experts no product is the last: their outputs are weighted, which the backward pass needs again.
        """
        model = self.model
        hidden, feed_forward = model.hidden_size, model.intermediate_size
        query, key_value = model.attention_heads * model.head_dim, model.kv_heads * model.head_dim
        # Of a device's experts; as many tokens more come to each.
        experts = max(model.experts // layout.expert_parallel_degree, 1)
        active = max(model.experts_per_token, 1)
        attention_in = self._products(layout, tokens, hidden, query + 2 * key_value)
        attention_out = self._products(layout, tokens, query, hidden)
        up = self._products(layout, tokens * active, hidden, 2 * feed_forward, experts)
        down = self._products(layout, tokens * active, feed_forward, hidden, experts)
        if layout.precision == "fp8":
            attention_in *= linear_time_ratio(model, "q_proj", "k_proj", "v_proj")
            attention_out *= linear_time_ratio(model, "o_proj")
            up *= linear_time_ratio(model, "gate_proj", "up_proj")
            down *= linear_time_ratio(model, "down_proj")
        total = attention_in + attention_out + up + down
        scale = model.layers / self._linear_speedup / 3
        forward, backward = total * scale, total * scale * 2
        if self._eager_casts:
            casts_forward, casts_backward = self._eager_casts_s(tokens)
            forward, backward = forward + casts_forward, backward + casts_backward
        return forward, backward, 0.0 if model.experts else down * scale

    def _eager_casts_s(self, tokens: float) -> tuple[float, float]:
        """Return seconds of casts to fp8, forward and backward: the inputs and weights of each linear product for both,
        the gradients of their outputs for the backward pass."""
        model = self.model
        hidden, feed_forward = model.hidden_size, model.intermediate_size
        query, key_value = model.attention_heads * model.head_dim, model.kv_heads * model.head_dim
        active = max(model.experts_per_token, 1)
        inputs = 3 * hidden + query + active * (2 * hidden + feed_forward)
        outputs = query + 2 * key_value + hidden + active * (2 * feed_forward + hidden)
        weights = hidden * (2 * query + 2 * key_value) + max(model.experts, 1) * 3 * hidden * feed_forward
        an_element_s = EAGER_CAST_BYTES * model.layers / self._bandwidth
        again = (tokens * inputs + weights) * an_element_s
        return again, again + tokens * outputs * an_element_s

    def _products(self, layout: Layout, tokens: float, inner: int, outer: int, experts: int = 1) -> float:
        """Return seconds of one matrix's forward product and its two gradients.

        The inner dimensions are `inner`, `outer` and the tokens. A product is charged a fixed depth for filling and
        emptying its pipeline, and never less than reading and writing its operands takes.
        """
        values = self._values
        rate = (
            self.hardware.matmul_flops[stored_precision(layout.precision)]
            * values[f"matmul.{self._generation}"]
        )
        depth = values["depth"]
        rows = max(tokens / experts, 1.0)
        flops = 2.0 * tokens * inner * outer
        compute = flops / rate * (3.0 + depth / inner + depth / outer + depth / rows)
        width = 4 if layout.precision == "fp32" else 2
        operands = width * (experts * inner * outer + tokens * (inner + outer))
        return max(compute, 3 * operands / self._bandwidth)

    def _attention(self, layout: Layout, tokens: float) -> tuple[float, float]:
        """Return seconds of attention scores and values, forward and backward."""
        model, values = self.model, self._values
        length = self.sequence_length
        # Causal: half of 2 products of 2 FLOPs (Dao 2023, §4.1).
        flops = tokens * model.layers * 2.0 * model.attention_heads * model.head_dim * length
        rate = self.hardware.matmul_flops[stored_precision(layout.precision)]
        if layout.attention == "eager":
            # The whole square is computed and its scores are written out.
            products = 2 * flops / (rate * values[f"matmul.{self._generation}"])
            width_ratio = 2 if layout.precision == "fp32" else 1
            scores = (
                tokens
                * model.layers
                * model.attention_heads
                * length
                * self._framework.kernels.score_bytes
                * width_ratio
            )
            forward = products + scores / self._bandwidth
            return forward, 2 * products + 1.5 * scores / self._bandwidth
        share = values[f"flash.{self._generation}"]
        if self._framework.attention == "flash1":
            share *= values["flash1_share"]
        elif self._framework.attention == "flash3" and self._generation in ("hopper", "blackwell"):
            share *= values["flash3_share"]
        if self._framework.attention != "flash1":
            share *= model.head_dim / (model.head_dim + HALF_HEAD) * (128 + HALF_HEAD) / 128
        share *= length / (length + ATTENTION_RAMP_TOKENS)
        forward = flops / (rate * min(share, values[f"matmul.{self._generation}"]))
        return forward, ATTENTION_BACKWARD_RATIO * forward


def step_time(
    model: ModelPlan,
    layout: Layout,
    hardware: Hardware,
    sequence_length: int,
    framework: Framework = FORGE_FRAMEWORK,
) -> StepTime:
    """Return one optimizer step over all accumulation steps, item by item."""
    return StepTimer(model, hardware, sequence_length, framework).step(layout)


def step_time_s(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> float:
    """Return seconds for one optimizer step over all accumulation steps."""
    return _timer(model, hardware, sequence_length).step_s(layout)


_last_timer: list[StepTimer] = []
"""The timer of the last call: a search asks for thousands of layouts of one model on one hardware."""


def _timer(model: ModelPlan, hardware: Hardware, sequence_length: int) -> StepTimer:
    if _last_timer:
        timer = _last_timer[0]
        if timer.model is model and timer.hardware is hardware and timer.sequence_length == sequence_length:
            return timer
    timer = StepTimer(model, hardware, sequence_length)
    _last_timer[:] = [timer]
    return timer
