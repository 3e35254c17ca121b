"""Lower a plan's layout to the DeepSpeed config that the engine runs."""

from __future__ import annotations

from typing import Any

from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.memory import BYTES


def deepspeed_config(
    layout: Layout, hardware: Hardware, gradient_clip: float, hidden_size: int
) -> dict[str, Any]:
    """Return a complete DeepSpeed 0.19 config: batch sizes, precision, ZeRO with every bucket size explicit.

    DeepSpeed's own bucket defaults (5e8 elements) take a gigabyte whatever the model; forge's are in bytes and
    counted in the memory estimate.
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
    if layout.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": bucket_elements,
            # Norm weights and other small parameters stay whole: gathering them costs more than keeping them.
            "stage3_param_persistence_threshold": 10 * hidden_size,
            "stage3_max_live_parameters": 10 * bucket_elements,
            "stage3_max_reuse_distance": 10 * bucket_elements,
            "stage3_gather_16bit_weights_on_model_save": False,
        }
    if layout.offload_optimizer == "cpu":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    micro_batch, accumulation = layout.micro_batch_sequences, layout.gradient_accumulation_steps
    return {
        "train_batch_size": micro_batch * accumulation * hardware.world_size,
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": gradient_clip,
        "bf16": {"enabled": layout.precision == "bf16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 1_000_000_000,
        "wall_clock_breakdown": False,
    }
