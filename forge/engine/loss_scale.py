"""fp16: the scale that keeps small gradients above fp16's smallest number, and its place in checkpoints."""

from __future__ import annotations

from typing import Any

from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler

from forge.engine.guard import SMALLEST_LOSS_SCALE


class _GrowsBetweenSteps(DynamicLossScaler):  # type: ignore[misc]
    """DeepSpeed's scaler, that grows when a step is over.

    DeepSpeed 0.19.8 grows it at the end of a step's gradients and before they are divided by it: one step in a window
    would have gradients, and at ZeRO stage 3 a gradient norm, of half their size.
    """

    cur_scale: float
    next_scale: float

    def update_scale(self, overflow: bool) -> None:
        before = self.cur_scale
        super().update_scale(overflow)
        self.next_scale = self.cur_scale
        if not overflow:
            self.cur_scale = before


def scale_losses(engine: Any) -> None:
    """Give a DeepSpeed engine in fp16 its scaler: what the plan's DeepSpeed config says of it holds."""
    given = engine.optimizer.loss_scaler
    engine.optimizer.loss_scaler = _GrowsBetweenSteps(
        init_scale=given.cur_scale,
        scale_window=given.scale_window,
        min_scale=SMALLEST_LOSS_SCALE,
        delayed_shift=given.delayed_shift,
        consecutive_hysteresis=given.consecutive_hysteresis,
        raise_error_at_min_scale=False,
    )
    engine.optimizer.loss_scaler.next_scale = given.cur_scale


def loss_scale(engine: Any) -> float | None:
    """Return what losses are multiplied by now; None where they are not scaled."""
    scaler = _scaler(engine)
    return None if scaler is None else float(scaler.cur_scale)


def end_step(engine: Any) -> None:
    """Let the scale grow where it is time to."""
    if scaler := _scaler(engine):
        scaler.cur_scale = scaler.next_scale


def loss_scale_to_json(engine: Any) -> dict[str, Any] | None:
    """Return JSON values of which `set_loss_scale` makes the same scaler; None where losses are not scaled."""
    if (scaler := _scaler(engine)) is None:
        return None
    return {
        "scale": float(scaler.cur_scale),
        "steps": int(scaler.cur_iter),
        "last_overflow": int(scaler.last_overflow_iter),
        "hysteresis": int(scaler.cur_hysteresis),
    }


def set_loss_scale(engine: Any, content: dict[str, Any] | None) -> None:
    """Make the scaler of `engine` the one that `loss_scale_to_json` was given."""
    scaler = _scaler(engine)
    if scaler is None or content is None:
        return
    scaler.cur_scale = scaler.next_scale = content["scale"]
    scaler.cur_iter = content["steps"]
    scaler.last_overflow_iter = content["last_overflow"]
    scaler.cur_hysteresis = content["hysteresis"]


def _scaler(engine: Any) -> _GrowsBetweenSteps | None:
    scaler = getattr(engine.optimizer, "loss_scaler", None)
    return scaler if isinstance(scaler, _GrowsBetweenSteps) else None
