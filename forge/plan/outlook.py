"""What a run costs and risks: money, energy, faults, and whether its tokens suit model and corpus."""

from __future__ import annotations

import math
from dataclasses import dataclass

from forge.plan.checkpoint_time import checkpoint_stall_s, checkpoint_write_s
from forge.plan.hardware import GIB, Hardware
from forge.plan.types import ModelPlan

TIME_ERROR_FRACTION = {"cuda": 0.13, "cpu": 0.50}
"""Half-width of the band around time, cost and energy. On GPUs the 90th percentile of the leave-one-source-out error
of benchmarks/leave_one_out.json; on CPUs, which differ more, the factor of two of benchmarks/cpu_rate.py."""

MEMORY_ERROR_FRACTION = {"cuda": 0.05, "cpu": 0.25}
"""Half-width of the band around memory. On GPUs nearly three times the worst row of benchmarks/memory.md (1.8 %), for
what fake tensors do not show: the allocator's fragmentation and the kernels' workspaces. A CPU's allocator keeps what
it has freed, so there it is wider."""

RESTART_S = 600.0
"""From a fault to the next step: noticed, relaunched, model built, checkpoint read."""

OPTIMAL_TOKENS_PER_PARAMETER = 20.0
"""Hoffmann 2022 (Chinchilla), table 3."""

GOOD_REPETITIONS = 4.0
"""Passes over the same text that are nearly as good as new text (Muennighoff 2023, §1)."""

USELESS_REPETITIONS = 16.0
"""Passes beyond which repeating gains next to nothing (Muennighoff 2023, §6: half-life of 15 repetitions)."""


@dataclass(frozen=True, slots=True)
class Risk:
    """Faults on the way, and what is best done about them."""

    expected_failures: float
    best_checkpoint_interval_s: float | None
    """None where no faults are expected (a CPU)."""
    checkpoint_stall_s: float
    goodput_fraction: float
    """Share of the wall-clock time that is progress: the rest is checkpoints, lost work and restarts."""


def best_checkpoint_interval_s(model: ModelPlan, hardware: Hardware) -> float | None:
    """Return the seconds between checkpoints that lose least; None where no faults are expected (a CPU).

    sqrt(2 d M) - d, for checkpoints that take d seconds from training and a mean time M between faults of the whole
    machine (Young 1974, with Daly 2006's correction, eq. 20 to first order); no less than one takes to be written, as
    there are never two at a time.
    """
    if hardware.device == "cpu":
        return None
    stall_s = checkpoint_stall_s(model, hardware)
    best_s = math.sqrt(2 * stall_s * _seconds_between_faults(hardware)) - stall_s
    return max(best_s, checkpoint_write_s(model, hardware))


def risk(model: ModelPlan, hardware: Hardware, training_time_s: float, checkpoint_interval_s: float) -> Risk:
    """Return what checkpoints and faults do to a run.

    Args:
        model: the network, which decides how long a checkpoint takes.
        hardware: devices and their mean time between faults.
        training_time_s: seconds of progress.
        checkpoint_interval_s: seconds of progress between two checkpoints.
    """
    write_s = checkpoint_write_s(model, hardware)
    # The next one waits until the one before is written.
    stall_s = max(checkpoint_stall_s(model, hardware), write_s - checkpoint_interval_s)
    stalled = stall_s / checkpoint_interval_s
    best_s = best_checkpoint_interval_s(model, hardware)
    if best_s is None:
        return Risk(0.0, None, stall_s, 1 / (1 + stalled))
    between_s = _seconds_between_faults(hardware)
    # A fault costs half an interval of work, what was done while a checkpoint was written, and a restart.
    goodput = 1 / (1 + stalled + (checkpoint_interval_s / 2 + write_s + RESTART_S) / between_s)
    return Risk(training_time_s / goodput / between_s, best_s, stall_s, goodput)


def _seconds_between_faults(hardware: Hardware) -> float:
    return hardware.gpu_hours_between_failures * 3600 / hardware.world_size


def token_warnings(model: ModelPlan, tokens: int, corpus_tokens: int, from_random: bool = True) -> list[str]:
    """Return what is wrong with training this model on so many tokens of such a corpus, one sentence each.

    What is compute-optimal is known of training from random weights (`from_random`) only.
    """
    warnings = []
    optimal = OPTIMAL_TOKENS_PER_PARAMETER * model.active_parameters
    if from_random and tokens < optimal / 2:
        warnings.append(
            f"{tokens / model.active_parameters:.2g} tokens a parameter: a smaller model would be as good for the same "
            f"compute (about {OPTIMAL_TOKENS_PER_PARAMETER:.0f} are compute-optimal, Hoffmann 2022)"
        )
    passes = tokens / corpus_tokens if corpus_tokens else 0.0
    if passes > USELESS_REPETITIONS:
        warnings.append(
            f"the corpus is read {passes:.0f} times: beyond {USELESS_REPETITIONS:.0f} repeating gains next to nothing "
            "(Muennighoff 2023): find more text, or train on fewer tokens"
        )
    elif passes > GOOD_REPETITIONS:
        warnings.append(
            f"the corpus is read {passes:.1f} times: up to {GOOD_REPETITIONS:.0f} are nearly as good as new text, more "
            "are not (Muennighoff 2023)"
        )
    return warnings


def precision_warnings(hardware: Hardware, precision: str, optimizer_states: str) -> list[str]:
    """Return what is lost with a GPU that has no bf16, or with states in bf16."""
    if optimizer_states == "bf16":
        return [
            "bf16 states lose updates smaller than a 256th of a weight: a low learning rate trains little or not"
        ]
    if hardware.device == "cpu" or hardware.native_bf16 or precision != "fp32":
        return []
    return [
        f"{hardware.gpu} does not multiply bf16: the run is in fp32, slower by far than train.precision=fp16"
    ]


def disk_warnings(needed_bytes: int, disk_bytes: int | None) -> list[str]:
    """Return what is wrong with the disk, one sentence each; nothing where its size is unknown."""
    if disk_bytes is None or needed_bytes <= disk_bytes:
        return []
    return [
        f"the run fills up to {needed_bytes / GIB:.0f} GiB of disk, a machine has {disk_bytes / GIB:.0f} GiB: "
        "give output_dir on a larger one"
    ]
