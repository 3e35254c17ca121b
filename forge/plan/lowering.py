"""Lower a plan's layout to the DeepSpeed config that the engine runs."""

from __future__ import annotations

import math
from typing import Any

from forge.errors import SpecError
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout, stored_precision
from forge.plan.states import BYTES
from forge.plan.types import ModelPlan
from forge.plan.weights import weights_of

PARAMETER_BUFFERS = 5
"""Weights of which a rank has its share in memory at a time, of those on a disk."""

LOSS_SCALING = {"initial_scale_power": 16, "loss_scale_window": 1000, "hysteresis": 2, "min_loss_scale": 1}
"""In fp16 the loss is multiplied by 2^16 at first, by half as much after an overflow (the first is let pass), and by
twice as much after a thousand steps without one: what DeepSpeed does where nothing is said."""

NVME_FOLDER = "nvme"
"""Inside the run folder."""

SWAP_ELEMENTS = 100_000_000
"""Of a rank's share: what stage 3 updates, and reads from a disk and writes to it, at once. DeepSpeed's own value, ten
times as much, takes 16 GB of host memory a process."""


def deepspeed_config(
    layout: Layout,
    hardware: Hardware,
    gradient_clip: float,
    model: ModelPlan,
    given: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a complete DeepSpeed 0.19 config: batch sizes, precision, ZeRO with every bucket size explicit.

    `given` are keys of the user's own, which win; the schema of `engine.deepspeed` lists those there are, and none that
    forge decides is among them.

    DeepSpeed's own bucket defaults (5e8 elements) take a gigabyte whatever the model; forge's are in bytes and
    counted in the memory estimate.

    Raises:
        SpecError: a key given is one that DeepSpeed would not read in this layout.
    """
    bucket_elements = max(layout.bucket_bytes // BYTES[layout.precision], 1)
    zero: dict[str, Any] = {"stage": layout.zero_stage}
    if layout.zero_stage >= 1:
        zero |= {
            "reduce_bucket_size": bucket_elements,
            "allgather_bucket_size": bucket_elements,
            "overlap_comm": hardware.device == "cuda" and hardware.world_size > 1,
            "contiguous_gradients": True,
        }
    shares_experts = layout.expert_parallel_degree > 1
    if layout.zero_stage in (1, 2):
        # DeepSpeed 0.19 sums gradients over all devices either way; told to scatter them it copies each bucket before.
        # Only then does it reduce experts among those that hold the same ones.
        zero["reduce_scatter"] = shares_experts
    if layout.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": bucket_elements,
            # Norm weights and other small parameters stay whole: gathering them costs more than keeping them.
            "stage3_param_persistence_threshold": 10 * model.hidden_size,
            "stage3_max_live_parameters": 10 * bucket_elements,
            "stage3_max_reuse_distance": 10 * bucket_elements,
            "stage3_gather_16bit_weights_on_model_save": False,
        }
        if layout.hpz_partition_size > 1:
            zero["zero_hpz_partition_size"] = layout.hpz_partition_size
    for key, place in (
        ("offload_optimizer", layout.offload_optimizer),
        ("offload_param", layout.offload_parameters),
    ):
        if place != "none":
            zero[key] = {"device": place, "pin_memory": True}
        if place == "nvme":
            zero[key]["nvme_path"] = NVME_FOLDER
            zero["sub_group_size"] = SWAP_ELEMENTS
    if layout.offload_parameters == "nvme":
        zero["offload_param"] |= {
            "max_in_cpu": 0,
            "buffer_count": PARAMETER_BUFFERS,
            "buffer_size": parameter_buffer_elements(model, hardware.world_size),
        }
    micro_batch, accumulation = layout.micro_batch_sequences, layout.gradient_accumulation_steps
    config: dict[str, Any] = {
        # Ranks that share sequences count as if each had its own: DeepSpeed knows nothing of it.
        "train_batch_size": micro_batch * accumulation * hardware.world_size,
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": gradient_clip,
        # Divided before they are summed over devices, so that fp16 sums do not overflow.
        "prescale_gradients": layout.zero_stage in (1, 2) and not shares_experts,  # they are then anyway
        "bf16": {"enabled": stored_precision(layout.precision) == "bf16"},
        "fp16": {"enabled": layout.precision == "fp16"}
        | (LOSS_SCALING if layout.precision == "fp16" else {}),
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }
    if layout.offload_optimizer == "nvme":
        # torch's AdamW updates them in memory, as fast as DeepSpeed's own does, which is not built for it then.
        config["zero_force_ds_cpu_optimizer"] = False
    if layout.optimizer_states == "bf16":
        config["bf16"] |= {"bf16_master_weights_and_grads": True, "bf16_optimizer_states": True}
    _refuse_unread(given or {}, layout)
    return _merged(config, given or {})


def parameter_buffer_elements(model: ModelPlan, world_size: int) -> int:
    """Return the elements of a buffer that holds a rank's share of any weight."""
    weights = weights_of(model)
    return math.ceil(max(weights.embedding, *weights.layer_matrices) / world_size)


STAGE_3_KEYS = frozenset({"sub_group_size", "zero_quantized_weights", "zero_quantized_gradients"})


def _refuse_unread(given: dict[str, Any], layout: Layout) -> None:
    """Raise for a key of another ZeRO stage: DeepSpeed takes it and does nothing with it."""
    problems = []
    for key in given.get("zero_optimization", {}):
        stage_3 = key in STAGE_3_KEYS or key.startswith("stage3_")
        if stage_3 and layout.zero_stage != 3:
            problems.append((key, "only ZeRO stage 3 reads it: drop it, or set engine.zero_stage=3"))
        elif key == "round_robin_gradients" and layout.zero_stage == 3:
            problems.append((key, "ZeRO stage 3 does not read it: drop it, or set engine.zero_stage=2"))
        elif layout.zero_stage == 0:
            problems.append((key, "without ZeRO nothing reads it: drop it, or set engine.zero_stage=1"))
    if problems:
        raise SpecError(
            *(f"engine.deepspeed.zero_optimization.{key}: {problem}" for key, problem in problems)
        )


def _merged(ours: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in given.items():
        mine = merged.get(key)
        merged[key] = _merged(mine, value) if isinstance(value, dict) and isinstance(mine, dict) else value
    return merged
