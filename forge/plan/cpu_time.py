"""Time of one optimizer step on CPUs."""

from __future__ import annotations

from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.model import attention_flops_per_token, matmul_flops_per_token
from forge.plan.muon import orthogonalization_flops
from forge.plan.step import StepTime
from forge.plan.types import ModelPlan
from forge.plan.weights import held_parameters

CPU_STEP_OVERHEAD_S = 0.03
"""DeepSpeed's own time a micro-batch on a CPU. Measured by benchmarks/cpu_rate.py, November 2026."""

CPU_ADAM_BYTES = 28
"""AdamW on fp32 states: reads weight, two moments, gradient; writes weight and moments."""


def states_width_ratio(layout: Layout) -> float:
    """Return bytes of the optimizer's states over what they are in fp32."""
    return 0.5 if layout.optimizer_states == "bf16" else 1.0


def cpu_step(model: ModelPlan, layout: Layout, hardware: Hardware, sequence_length: int) -> StepTime:
    """Return a step on CPUs: products at the measured rate of a training step, which holds the rest of a layer.

    SDPA on a CPU computes the masked half of attention too.
    """
    tokens = layout.micro_batch_sequences * sequence_length
    steps = layout.gradient_accumulation_steps
    rate = hardware.matmul_flops[layout.precision]
    matmul = steps * tokens * matmul_flops_per_token(model) / rate
    attention = steps * tokens * attention_flops_per_token(model, sequence_length) / rate
    again = 1 / 3 if layout.activation_checkpointing == "full" else 0.0
    world = hardware.world_size
    width = 4 if layout.precision == "fp32" else 2
    # Reduced gradients and gathered weights: of stage 3 all weights in either pass, else those that changed.
    gathered = 2 * model.parameters if layout.zero_stage == 3 else model.trainable_parameters
    volume = width * (model.trainable_parameters + gathered) * (world - 1) / world
    degree, exchanged = layout.expert_parallel_degree, 0.0
    if degree > 1:
        # Of experts a device exchanges those that it holds, with the others that do.
        experts = model.parameters - held_parameters(model, degree)
        copies, whole = world // degree, experts * degree / (degree - 1)
        moved = (3 if layout.zero_stage == 3 else 2) * whole
        volume -= width * moved * ((world - 1) / world - (copies - 1) / copies / degree)
        rows = tokens * model.experts_per_token * (degree - 1) / degree
        times = 2 if layout.activation_checkpointing == "none" else 3
        exchanged = 2 * times * model.layers * rows * width * model.hidden_size / hardware.link_bytes_per_s
    transfer = volume / hardware.link_bytes_per_s
    owned = model.trainable_parameters / (world if layout.zero_stage >= 1 else 1)
    update_s = CPU_ADAM_BYTES * states_width_ratio(layout) * owned / hardware.memory_bytes_per_s
    if layout.optimizer == "muon":  # in fp32: DeepSpeed has no fp16 on a CPU
        update_s += orthogonalization_flops(model) / world / hardware.matmul_flops["fp32"]
    return StepTime(
        matmul_s=matmul,
        attention_s=attention,
        memory_bound_s=0.0,
        recompute_s=again * (matmul + attention),
        launch_s=steps * CPU_STEP_OVERHEAD_S,
        communication_s=transfer * (steps if layout.zero_stage >= 2 else 1),
        all_to_all_s=steps * exchanged,
        optimizer_s=update_s,
        offload_s=0.0,
        loader_s=0.0,
    )
