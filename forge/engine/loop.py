"""The training loop: one optimizer step after another until the plan is done or someone asks to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from forge.engine.checkpoint_saving import CheckpointSaver, State
from forge.engine.distributed import Place, sum_over_ranks
from forge.engine.evaluation import HeldOut, measure_held_out
from forge.engine.guard import NOT_FINITE_IN_A_ROW, Course, judge, remember
from forge.engine.heartbeat import Heartbeat
from forge.engine.lora import tell_samples
from forge.engine.loss import micro_batch_loss
from forge.engine.loss_scale import end_step, loss_scale, loss_scale_to_json
from forge.engine.measures import Measures
from forge.engine.memory import peak_memory_bytes
from forge.engine.optimizer import set_learning_rate
from forge.engine.preference_loss import MarginSums, margin_fields
from forge.engine.prefetch import Prefetched
from forge.engine.routing import expert_load
from forge.engine.schedule import learning_rate
from forge.engine.skips import Window, going_back_helps, is_left_out, window_before
from forge.engine.stopping import StopRequest
from forge.errors import StageError
from forge.plan.types import Plan

Tell = Callable[..., None]
"""Called with an event's name and its fields; writes on rank 0 only."""

Ending = Literal["done", "stopped", "going back"]


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one optimizer step showed, the same on every rank."""

    loss: float
    gradient_norm: float
    applied: bool
    """Whether the weights were changed; they are not where a gradient was not finite."""
    stop_asked: bool
    save_failed: bool
    """Whether the checkpoint being written will not be whole."""
    data_time_s: float
    """Time this rank waited for its batches."""
    expert_counts: torch.Tensor | None
    """Tokens of the global batch sent to each expert, fp64 [layers, experts]; None for a dense model."""
    loss_scale: float | None
    """What the loss was multiplied by for the backward pass; None where it was not."""
    preferences: dict[str, float | None]
    """What is said of the pairs of the global batch."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the loop works with."""

    engine: Any
    plan: Plan
    batches: Prefetched
    held_out: HeldOut | None
    """Measured now and then; None: never."""
    measures: Measures
    run_dir: Path
    place: Place
    windows: tuple[Window, ...]
    """Steps to leave out."""
    stop: StopRequest
    heartbeat: Heartbeat
    tell: Tell


def train(training: Training, start_step: int, course: Course) -> tuple[Ending, Window | None]:
    """Train from `start_step` (steps done so far) to the end, with checkpoints; return how it ended.

    A stop request ends it after the current step with a checkpoint. A step whose loss or gradient is not finite
    changes nothing and is passed over, as is one whose gradient overflows in fp16; several of the first kind in a row,
    or a spike, end it with the steps to leave out: it should then go on from a checkpoint before them.

    `step` events carry the loss of that step (nats a token, mean over the global batch) and the mean time of the
    steps since the last one logged, checkpoints and evaluations left out.

    Raises:
        StageError: the loss or the gradient stays not finite although the training went back, or is not finite at
            the end, and nothing more is saved; or a checkpoint could not be written.
    """
    place = training.place
    with CheckpointSaver(training.engine, training.plan, training.run_dir, training.windows, place) as saver:
        ending = _steps(training, saver, start_step, course)
        saver.finish()
        _tell_saved(training, saver)
    return ending


def _steps(
    training: Training, saver: CheckpointSaver, start_step: int, course: Course
) -> tuple[Ending, Window | None]:
    schedule, tell = training.plan.schedule, training.tell
    logged_step, elapsed_s, data_time_s = start_step, 0.0, 0.0
    stop = False
    phases = {phase.first_step: number for number, phase in enumerate(schedule.phases, 1)}
    for done in range(start_step + 1, schedule.steps + 1):
        last = done == schedule.steps
        if done in phases:
            weights = schedule.phases[phases[done] - 1].source_weights
            tell("phase", step=done, phase=phases[done], phases=len(phases), source_weights=weights)
        if is_left_out(done, training.windows):
            stop = _stop_asked(training)
            tell("step_skipped", step=done, reason="left out after going back", decided_before=True)
            logged_step = done
        else:
            began_s = time.perf_counter()
            rate = learning_rate(done - 1, schedule)
            set_learning_rate(training.engine.optimizer, rate)
            outcome = _one_step(training, done - 1, saver.failed)
            stop = outcome.stop_asked
            elapsed_s += time.perf_counter() - began_s
            data_time_s += outcome.data_time_s
            judgement, seen = judge(
                course,
                outcome.loss,
                outcome.gradient_norm,
                outcome.loss_scale,
                of_pairs=schedule.task == "dpo",
            )
            course = remember(course, judgement, outcome.loss, outcome.gradient_norm)
            if passed_over := judgement in ("not finite", "overflow"):
                tell("step_skipped", step=done, reason=seen, decided_before=False)
            if window := _to_leave_out(training, done, course, judgement, seen, outcome.applied):
                training.heartbeat.rest(done, "checkpoint")
                return "going back", window
            if not passed_over and (
                last or stop or done == start_step + 1 or done % schedule.log_every_steps == 0
            ):
                step_time_s = elapsed_s / (done - logged_step)
                tell(
                    "step",
                    step=done,
                    **training.measures.of(done, step_time_s),
                    loss=outcome.loss,
                    smoothed_loss=course.smoothed_loss,
                    learning_rate=rate,
                    gradient_norm=outcome.gradient_norm,
                    loss_scale=outcome.loss_scale,
                    **outcome.preferences,
                    **expert_load(outcome.expert_counts),
                    step_time_s=step_time_s,
                    data_time_s=data_time_s / (done - logged_step),
                    peak_memory_bytes=peak_memory_bytes(training.place.device),
                )
                logged_step, elapsed_s, data_time_s = done, 0.0, 0.0
            training.heartbeat.step(done)
            if outcome.save_failed:
                training.heartbeat.rest(done, "checkpoint")
                saver.finish()
        _between_steps(
            training, saver, State(done, course, loss_scale=loss_scale_to_json(training.engine)), last, stop
        )
        if stop:
            break
    # Asked to stop after the last step, it is done all the same.
    return ("stopped" if stop and done < schedule.steps else "done"), None


def _between_steps(training: Training, saver: CheckpointSaver, state: State, last: bool, stop: bool) -> None:
    """Measure and save where it is time to, and tell of what has been saved."""
    schedule, done = training.plan.schedule, state.step
    regular = last or any(
        every and done % every == 0 for every in (schedule.checkpoint_every_steps, schedule.keep_every_steps)
    )
    due = schedule.evaluate_every_steps and (regular or done % schedule.evaluate_every_steps == 0)
    if training.held_out is not None and due:
        training.heartbeat.rest(done, "evaluation")
        state = replace(state, held_out_loss=_evaluate(training, training.held_out, done))
        training.heartbeat.rest(done, "step")
    if regular or stop:
        training.heartbeat.rest(done, "checkpoint")
        saver.save(state)
        if not (last or stop):  # else it is waited for
            training.heartbeat.rest(done, "step")
    _tell_saved(training, saver)


def _evaluate(training: Training, held_out: HeldOut, step: int) -> float | None:
    """Return the held-out loss after `step` and tell of it; None where it is not finite."""
    began_s = time.perf_counter()
    loss, preferences = measure_held_out(training.engine, training.plan, held_out, training.place)
    if not math.isfinite(loss):
        training.tell("note", line=f"train: held-out loss is {loss} at step {step}")
        return None
    training.tell(
        "evaluation",
        step=step,
        held_out_loss=loss,
        held_out_tokens=held_out.tokens,
        **{f"held_out_{name}": value for name, value in preferences.items()},
        evaluation_time_s=time.perf_counter() - began_s,
    )
    return loss


def _tell_saved(training: Training, saver: CheckpointSaver) -> None:
    for saved in saver.news():
        training.tell("checkpoint", step=saved.step, stall_s=saved.stall_s, write_s=saved.write_s)


def _to_leave_out(
    training: Training, step: int, course: Course, judgement: str, seen: str, applied: bool
) -> Window | None:
    """Return the steps to leave out where the training should go back after `step`, None where it should go on.

    Raises:
        StageError: going back would not help.
    """
    if judgement in ("good", "overflow"):
        return None
    helps = going_back_helps(step, training.windows)
    if judgement == "spike":
        if helps:
            return window_before(step, 1, training.windows, seen)
        training.tell("note", line=f"train: {seen} at step {step}, after going back several times: going on")
        return None
    last = step == training.plan.schedule.steps
    # Weights changed by a step that is not finite are spoilt at once.
    if not applied and course.not_finite < NOT_FINITE_IN_A_ROW and not last:
        return None
    if helps and not last:
        return window_before(step, course.not_finite, training.windows, seen)
    raise StageError(
        f"train: {seen} at step {step}: lower train.learning_rate or warm up for longer; the last good "
        "checkpoint is kept"
    )


def _one_step(training: Training, step: int, save_failed: bool) -> StepOutcome:
    engine, plan, place = training.engine, training.plan, training.place
    scale = loss_scale(engine)
    loss_sum = torch.zeros((), dtype=torch.float64, device=place.device)
    gradient_norm: float | None = None
    counts: list[torch.Tensor] = []
    margins = MarginSums.zero(place.device)
    batches = training.batches.step(step)
    data_time_s = 0.0
    while True:
        began_s = time.perf_counter()
        batch = next(batches, None)
        data_time_s += time.perf_counter() - began_s
        if batch is None:
            break
        tell_samples(engine.module, step, batch.positions, place.sequence_group)
        losses = micro_batch_loss(
            engine,
            batch.inputs,
            batch.targets,
            plan.model,
            plan.layout.loss_chunks,
            batch.documents,
            plan.schedule.z_loss,
            batch.learnt_targets,
            batch.pairs,
        )
        engine.backward(losses.total)
        loss_sum += losses.cross_entropy
        margins.add(losses.margins)
        if losses.expert_counts is not None:
            counts.append(losses.expert_counts)
        if plan.layout.zero_stage == 0 and engine.is_gradient_accumulation_boundary():
            gradient_norm = _norm_without_zero(engine, place)
        engine.step()
    end_step(engine)
    applied = engine.was_step_applied()
    if gradient_norm is None:
        gradient_norm = float(engine.get_global_grad_norm()) if applied else math.nan
    else:
        applied = math.isfinite(gradient_norm)
    stop = float(training.stop.asked())
    # Rank 0's norm counts, so that no rounding can make two ranks judge differently.
    sent = torch.stack(counts).sum(dim=0) if counts else None
    total_loss, norm, stops, failures, *rest = sum_over_ranks(
        [
            float(loss_sum),
            gradient_norm if place.rank == 0 else 0.0,
            stop,
            float(save_failed),
            *margins.values(),
            *(sent.flatten().tolist() if sent is not None else ()),
        ],
        place,
    )
    if sent is not None:
        sent = torch.tensor(rest[3:], dtype=torch.float64).view(sent.shape)
    micro_batches = plan.layout.gradient_accumulation_steps * place.world_size
    return StepOutcome(
        total_loss / micro_batches,
        norm,
        applied,
        stops > 0,
        failures > 0,
        data_time_s,
        sent,
        scale,
        margin_fields(rest[:3]),
    )


def _norm_without_zero(engine: Any, place: Place) -> float:
    """Return the gradient's norm, which DeepSpeed forgets at stage 0, and have a step that is not finite do nothing.

    The other stages see to that themselves.
    """
    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    # What torch's gradient scaler tells a fused optimizer: leave weights, moments and the count of steps as they are.
    engine.optimizer.found_inf = torch.full((), float(not math.isfinite(norm)), device=place.device)
    return norm


def _stop_asked(training: Training) -> bool:
    (stops,) = sum_over_ranks([float(training.stop.asked())], training.place)
    return stops > 0
