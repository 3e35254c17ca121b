"""What a logged step says beside its loss: how fast, how far through the data, how well the hardware is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forge.data.order import SequenceOrder
from forge.plan.types import Plan


@dataclass(frozen=True, slots=True)
class Measures:
    """Turns a step's number and time into the fields of its event."""

    plan: Plan
    order: SequenceOrder

    def of(self, step: int, step_time_s: float) -> dict[str, Any]:
        """Return the fields for `step` (from 1).

        `epoch` is how often the training text has been read, in phases that of the phase. MFU is the plan's own, scaled
        by the speed: both mean the same FLOPs a token (Chowdhery et al. 2022, appendix B) over the same peak; null
        where the plan has none.
        """
        schedule, estimates = self.plan.schedule, self.plan.estimates
        tokens_per_second = schedule.global_batch_tokens / step_time_s
        utilization = estimates.model_flops_utilization
        if utilization is not None:
            utilization *= tokens_per_second / estimates.tokens_per_second
        return {
            "tokens": step * schedule.global_batch_tokens,
            "epoch": self.order.epoch(step),
            "phase": self.order.phase_of(step - 1) + 1 if schedule.phases else None,
            "source_tokens": self.order.source_tokens(step),
            "tokens_per_second": tokens_per_second,
            "model_flops_utilization": utilization,
        }
