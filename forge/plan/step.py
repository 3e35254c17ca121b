"""What one optimizer step takes, item by item."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one optimizer step, all micro-batches; the step takes their sum."""

    matmul_s: float
    attention_s: float
    memory_bound_s: float
    recompute_s: float
    """Forward work done again in the backward pass."""
    launch_s: float
    """What the device waits for the host to launch."""
    communication_s: float
    """What compute does not hide."""
    all_to_all_s: float
    """Of sequence and expert parallelism."""
    optimizer_s: float
    offload_s: float
    loader_s: float

    @property
    def total_s(self) -> float:
        """Seconds of the whole step."""
        return math.fsum(getattr(self, field.name) for field in fields(self))
