"""What a scheduler is asked for on behalf of a plan: memory, time, and how long before its end a job is told."""

from __future__ import annotations

import math

from forge.plan.types import Plan

DATA_MEMORY_BYTES = 8 * 1024**3
"""Asked for beside what training is predicted to need: the stages before it."""

MEMORY_MARGIN = 1.25
"""A job that uses more than it asked for is killed."""

START_HOURS = 0.1
"""Asked for beside the time of training: start-up, data, evaluation, export."""

CHECKPOINT_BYTES_PER_S = 1e9
"""Of a slow shared file system."""

NOTICE_S = 120
"""At the least; two steps and the time to write a checkpoint come on top."""


def cpus(plan: Plan) -> int:
    """Return the cores of a machine that a plan keeps busy."""
    return plan.layout.processes_per_node * plan.layout.threads_per_process


def memory_gib(plan: Plan) -> int:
    """Return the memory of a machine, in whole GiB."""
    training_bytes = sum(item.bytes for item in plan.estimates.host_memory)
    return math.ceil((training_bytes * MEMORY_MARGIN + DATA_MEMORY_BYTES) / 1024**3)


def hours(plan: Plan) -> float:
    """Return the time of the whole run, at the upper end of its estimate."""
    estimates = plan.estimates
    return estimates.wall_clock_s * (1 + estimates.time_error_fraction) / 3600 + START_HOURS


def notice_s(plan: Plan) -> int:
    """Return how long before a job is ended it must be told, so that it writes a checkpoint first."""
    estimates = plan.estimates
    write_s = estimates.checkpoint_bytes / CHECKPOINT_BYTES_PER_S
    return math.ceil(NOTICE_S + 2 * estimates.step_time_s + write_s)
