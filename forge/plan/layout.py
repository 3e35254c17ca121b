"""A layout: the choices of how one training step is spread over devices and micro-batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["bf16", "fp8", "fp16", "fp32"]
"""Of weights and activations in the forward and backward pass; with fp8 they are bf16, and large products of layers are
made in fp8 (`forge.plan.fp8`)."""

StatesPrecision = Literal["bf16", "fp32"]
"""Of master weights and Adam's moments."""

Optimizer = Literal["adamw", "muon"]
"""Of the matrices of layers; all else is trained by AdamW."""


def stored_precision(precision: Precision) -> Literal["bf16", "fp16", "fp32"]:
    """Return the precision of weights, gradients and activations."""
    return "bf16" if precision == "fp8" else precision


@dataclass(frozen=True, slots=True)
class Layout:
    """One candidate. `gradient_accumulation_steps` follows from the global batch."""

    zero_stage: Literal[0, 1, 2, 3]
    micro_batch_sequences: int
    gradient_accumulation_steps: int
    activation_checkpointing: Literal["none", "selective", "full"]
    offload_optimizer: Literal["none", "cpu", "nvme"]
    precision: Precision
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
    optimizer_states: StatesPrecision = "fp32"
    """Precision of master weights and moments; bf16 only with a bf16 `precision`, at ZeRO stage 1 or more."""
    optimizer: Optimizer = "adamw"
    """Muon only at ZeRO stages 1 and 2, on the device."""
    compile_layers: bool = False
    """Each layer by torch.compile."""
    expert_parallel_degree: int = 1
    """Devices that together hold all experts once; of a mixture, at ZeRO stages 1 to 3."""

    def __str__(self) -> str:
        parts = [f"ZeRO-{self.zero_stage}", f"micro-batch {self.micro_batch_sequences}"]
        if self.gradient_accumulation_steps > 1:
            parts.append(f"accumulation {self.gradient_accumulation_steps}")
        if self.activation_checkpointing != "none":
            parts.append(f"{self.activation_checkpointing} checkpointing")
        if self.optimizer_states != "fp32":
            parts.append(f"{self.optimizer_states} states")
        if self.offload_optimizer != "none":
            parts.append(f"optimizer on {self.offload_optimizer}")
        if self.offload_parameters != "none":
            parts.append(f"parameters on {self.offload_parameters}")
        if self.hpz_partition_size > 1:
            parts.append(f"hpZ {self.hpz_partition_size}")
        if self.sequence_parallel_degree > 1:
            parts.append(f"sequence over {self.sequence_parallel_degree}")
        if self.expert_parallel_degree > 1:
            parts.append(f"experts over {self.expert_parallel_degree}")
        if self.compile_layers:
            parts.append("compiled layers")
        if self.loss_chunks > 1:
            parts.append(f"loss in {self.loss_chunks} chunks")
        return ", ".join(parts)
