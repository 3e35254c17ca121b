"""A layout: the choices of how one training step is spread over devices and micro-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Layout:
    """One candidate. `gradient_accumulation_steps` follows from the global batch."""

    zero_stage: Literal[0, 1, 2, 3]
    micro_batch_sequences: int
    gradient_accumulation_steps: int
    activation_checkpointing: Literal["none", "selective", "full"]
    offload_optimizer: Literal["none", "cpu", "nvme"]
    precision: Literal["bf16", "fp32"]
    bucket_bytes: int
    offload_parameters: Literal["none", "cpu", "nvme"] = "none"
    """Only at ZeRO stage 3."""
    hpz_partition_size: int = 1
    """Devices over which stage 3 keeps a second copy of the parameters, to gather from near ones (Wang 2023)."""
    sequence_parallel_degree: int = 1
    """Devices that share one sequence (DeepSpeed Ulysses, Jacobs 2023)."""
    attention: Literal["sdpa", "flash", "eager"] = "sdpa"
    loss_chunks: int = 1
    """Pieces of a micro-batch whose logits exist at a time."""

    def __str__(self) -> str:
        parts = [f"ZeRO-{self.zero_stage}", f"micro-batch {self.micro_batch_sequences}"]
        if self.gradient_accumulation_steps > 1:
            parts.append(f"accumulation {self.gradient_accumulation_steps}")
        if self.activation_checkpointing == "full":
            parts.append("activation checkpointing")
        if self.offload_optimizer == "cpu":
            parts.append("optimizer on the host")
        return ", ".join(parts)
