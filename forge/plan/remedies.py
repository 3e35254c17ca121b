"""Where nothing fits: the smallest changes that make it fit, each compiled before it is named."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from forge.errors import UserError
from forge.plan.hardware import chips_by_memory, named_machine
from forge.plan.space import AUTO
from forge.plan.types import Plan

Compile = Callable[[dict[str, Any], str], Plan]
"""Compiles (spec, hardware option), or raises a UserError."""

PINS = (
    "micro_batch_sequences",
    "gradient_accumulation_steps",
    "bucket_bytes",
    "loss_chunks",
    "activation_checkpointing",
    "zero_stage",
    "hpz_partition_size",
    "offload_optimizer",
    "offload_parameters",
)
"""Keys of group `engine` that a user may have pinned, the one that changes least first."""

SHORTEST_SEQUENCE = 256
MOST_GPUS = 4096
SLOWER_WORTH_SAYING = 1.1

_COUNT = re.compile(r"(?:(?P<nodes>\d+)x)?(?P<gpus>\d+)x(?P<chip>\w+)\Z")


def smallest_changes(
    spec: dict[str, Any], hardware_name: str, tokens_per_second: float, compile_spec: Compile
) -> list[str]:
    """Return `fits with ...` or `fits on ...`, once for each kind of change that makes the spec fit.

    The kinds: free one pinned key, free all, shorten the sequence, take more of the GPUs, take larger ones. Of each
    kind the smallest change that fits is named, and how much slower it is on the same machine.

    Args:
        spec: a spec that does not fit.
        hardware_name: its hardware option.
        tokens_per_second: what it would reach with memory without end.
        compile_spec: compiles a changed spec.
    """
    found = []
    for kind in (_one_pin, _all_pins, _sequence, _more_gpus, _larger_gpus):
        for changed, name in kind(spec, hardware_name):
            try:
                plan = compile_spec(changed, name)
            except UserError:
                continue
            found.append(_said(spec, hardware_name, plan, tokens_per_second))
            break
    return list(dict.fromkeys(found))


def _said(spec: dict[str, Any], hardware_name: str, plan: Plan, tokens_per_second: float) -> str:
    if plan.layout.hardware != hardware_name:
        return f"fits on hardware={plan.layout.hardware}"
    words = [
        f"engine.{key}={getattr(plan.layout, key)}"
        for key in _pinned(spec)
        if getattr(plan.layout, key) != spec["engine"][key]
    ]
    for key, value in (
        ("sequence_length", plan.schedule.sequence_length),
        ("precision", plan.layout.precision),
    ):
        if spec["train"][key] not in (AUTO, value):
            words.append(f"train.{key}={value}")
    slower = tokens_per_second / plan.estimates.tokens_per_second
    suffix = f", {slower:.1f}x slower" if slower >= SLOWER_WORTH_SAYING else ""
    return f"fits with {' '.join(words)}{suffix}"


def _pinned(spec: dict[str, Any]) -> list[str]:
    return [key for key in PINS if spec["engine"][key] != AUTO]


def _one_pin(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    for key in _pinned(spec):
        yield _with(spec, "engine", {key: AUTO}), name
    if spec["train"]["precision"] == "fp32":
        yield _with(spec, "train", {"precision": AUTO}), name


def _all_pins(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    pinned = _pinned(spec)
    if len(pinned) > 1:
        yield _with(spec, "engine", dict.fromkeys(pinned, AUTO)), name


def _sequence(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Halves divide the global batch wherever the whole does."""
    length = spec["train"]["sequence_length"]
    while length % 2 == 0 and length // 2 >= SHORTEST_SEQUENCE:
        length //= 2
        yield _with(spec, "train", {"sequence_length": length}), name


def _more_gpus(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    match = _COUNT.match(name)
    chip = match["chip"] if match else "h100"
    gpus = int(match["nodes"] or 1) * int(match["gpus"]) if match else 0
    count = 1
    while count <= MOST_GPUS:
        if count > gpus:
            yield from _on(spec, f"{count}x{chip}")
        count *= 2


def _larger_gpus(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    match = _COUNT.match(name)
    if match is None:
        return
    for chip in chips_by_memory():
        if chip != match["chip"]:
            yield from _on(spec, f"{name.removesuffix(match['chip'])}{chip}")


def _on(spec: dict[str, Any], name: str) -> Iterator[tuple[dict[str, Any], str]]:
    hardware = named_machine(name)
    if hardware is not None:
        yield {**spec, "hardware": hardware}, name


def _with(spec: dict[str, Any], group: str, values: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    changed[group] |= values
    return changed
