"""The training loop: one optimizer step after another until the plan is done or someone asks to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from forge.engine.batches import RankBatches
from forge.engine.checkpoint import save_checkpoint
from forge.engine.distributed import Place, sum_over_ranks
from forge.engine.loss import micro_batch_loss
from forge.engine.memory import peak_memory_bytes
from forge.engine.optimizer import set_learning_rate
from forge.engine.schedule import learning_rate
from forge.errors import StageError
from forge.plan.types import Plan

Tell = Callable[..., None]
"""Called with an event's name and its fields; writes on rank 0 only."""


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one optimizer step showed, the same on every rank."""

    loss: float
    gradient_norm: float
    stop_asked: bool


def train(
    engine: Any, plan: Plan, batches: RankBatches, run_dir: Path, start_step: int, place: Place, tell: Tell
) -> bool:
    """Train from `start_step` (steps done so far) to the end, with checkpoints; return False when stopped early.

    A file run_dir/stop, looked for by rank 0, asks to stop after the current step; a checkpoint is then written.
    `step` events carry the loss of that step (nats a token, mean over the global batch) and the mean time of the
    steps since the last one logged, checkpoints left out.

    Raises:
        StageError: the loss or the gradient is no longer finite; nothing is saved.
    """
    schedule = plan.schedule
    saved_step = start_step
    logged_step, elapsed_s = start_step, 0.0
    for step in range(start_step, schedule.steps):
        began_s = time.perf_counter()
        rate = learning_rate(step, schedule)
        set_learning_rate(engine.optimizer, rate)
        outcome = _one_step(engine, plan, batches, step, run_dir / "stop", place)
        _check_finite(outcome, step + 1)
        elapsed_s += time.perf_counter() - began_s
        done = step + 1
        last = done == schedule.steps or outcome.stop_asked
        if last or done == start_step + 1 or done % schedule.log_every_steps == 0:
            step_time_s = elapsed_s / (done - logged_step)
            tell(
                "step",
                step=done,
                tokens=done * schedule.global_batch_tokens,
                loss=outcome.loss,
                learning_rate=rate,
                gradient_norm=outcome.gradient_norm,
                step_time_s=step_time_s,
                tokens_per_second=schedule.global_batch_tokens / step_time_s,
                peak_memory_bytes=peak_memory_bytes(place.device),
            )
            logged_step, elapsed_s = done, 0.0
        if last or done % schedule.checkpoint_every_steps == 0:
            save_checkpoint(engine, plan, run_dir, done, place)
            saved_step = done
            tell("checkpoint", step=done)
        if outcome.stop_asked:
            break
    return saved_step == schedule.steps


def _one_step(
    engine: Any, plan: Plan, batches: RankBatches, step: int, stop_file: Path, place: Place
) -> StepOutcome:
    loss_sum = torch.zeros((), dtype=torch.float64, device=place.device)
    gradient_norm: float | None = None
    for inputs, targets in batches.step(step):
        loss, cross_entropy = micro_batch_loss(
            engine, inputs, targets, plan.model.experts, plan.layout.loss_chunks
        )
        engine.backward(loss)
        loss_sum += cross_entropy.detach()
        if plan.layout.zero_stage == 0 and engine.is_gradient_accumulation_boundary():
            # Without ZeRO, DeepSpeed clips and forgets the norm.
            gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
            gradient_norm = float(torch.nn.utils.get_total_norm(gradients))
        engine.step()
    if gradient_norm is None:
        gradient_norm = float(engine.get_global_grad_norm()) if engine.was_step_applied() else math.nan
    stop = place.rank == 0 and stop_file.exists()
    total_loss, stops = sum_over_ranks([float(loss_sum), float(stop)], place)
    micro_batches = plan.layout.gradient_accumulation_steps * place.world_size
    return StepOutcome(total_loss / micro_batches, gradient_norm, stops > 0)


def _check_finite(outcome: StepOutcome, step: int) -> None:
    """Stop when training has diverged: the weights are spoilt, so no later checkpoint may replace a good one."""
    for what, value in (("loss", outcome.loss), ("gradient norm", outcome.gradient_norm)):
        if not math.isfinite(value):
            raise StageError(
                f"train: {what} became {value} at step {step}: lower train.learning_rate or raise "
                "train.warmup_fraction; the last good checkpoint is kept"
            )
