"""Where nothing fits: the smallest changes that make it fit, each compiled before it is named."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
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

ASCENDING: dict[str, tuple[Any, ...]] = {
    "loss_chunks": (1, 8),
    "activation_checkpointing": ("none", "selective", "full"),
    "zero_stage": (0, 1, 2, 3),
    "offload_optimizer": ("none", "cpu"),
    "offload_parameters": ("none", "cpu"),
}
"""Values of a key, the one that takes most memory of a GPU first."""

SHORTEST_SEQUENCE = 256
MOST_GPUS = 4096
SLOWER_WORTH_SAYING = 1.1

_COUNT = re.compile(r"(?:(?P<nodes>\d+)x)?(?P<gpus>\d+)x(?P<chip>\w+)\Z")


def smallest_changes(
    spec: dict[str, Any], hardware_name: str, tokens_per_second: float, compile_spec: Compile
) -> list[str]:
    """Return `fits with ...` or `fits on ...`, the smallest change of each kind that makes the spec fit.

    The kinds: move one pinned key to the nearest value that fits, one line a key; where no single one does, free all
    that is pinned; shorten the sequence; take more of the GPUs; take larger ones. On the same machine each says how
    much slower it is, on another how long it takes and what that costs.

    Args:
        spec: a spec that does not fit.
        hardware_name: its hardware option.
        tokens_per_second: what it would reach with memory without end.
        compile_spec: compiles a changed spec.
    """

    def first_that_fits(changes: Iterable[tuple[dict[str, Any], str]]) -> list[str]:
        for changed, name in changes:
            try:
                plan = compile_spec(changed, name)
            except UserError:
                continue
            return [_said(spec, hardware_name, plan, tokens_per_second)]
        return []

    found = [line for values in _one_pin(spec, hardware_name) for line in first_that_fits(values)]
    if not found:
        found = first_that_fits(_all_pins(spec, hardware_name))
    for kind in (_sequence, _more_gpus, _larger_gpus):
        found += first_that_fits(kind(spec, hardware_name))
    return list(dict.fromkeys(found))


def _said(spec: dict[str, Any], hardware_name: str, plan: Plan, tokens_per_second: float) -> str:
    if plan.layout.hardware != hardware_name:
        return f"fits on hardware={plan.layout.hardware}: {_takes(plan)}"
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


def _takes(plan: Plan) -> str:
    """Return what a training takes, as the recipes of forge say it: `10.4 hours and $244`."""
    hours = plan.estimates.wall_clock_s / 3600
    time = f"{hours:.1f} hours" if hours < 100 else f"{hours:,.0f} hours"
    return time if plan.estimates.cost_usd is None else f"{time} and ${plan.estimates.cost_usd:,.0f}"


def _pinned(spec: dict[str, Any]) -> list[str]:
    return [key for key in PINS if spec["engine"][key] != AUTO]


def _one_pin(spec: dict[str, Any], name: str) -> Iterator[Iterator[tuple[dict[str, Any], str]]]:
    """Yield, for each pinned key, its other values, those nearest to the user's first."""
    for key in _pinned(spec):
        yield ((_with(spec, "engine", values), name) for values in _nearest(spec, key))
    if spec["train"]["precision"] == "fp32":
        yield iter([(_with(spec, "train", {"precision": AUTO}), name)])


def _nearest(spec: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    engine = spec["engine"]
    pinned = engine[key]
    if key == "micro_batch_sequences":
        # What the pinned accumulation asked for can't stay: the global batch is the user's.
        for size in range(pinned - 1, 0, -1):
            yield {key: size, "gradient_accumulation_steps": AUTO}
    elif key == "gradient_accumulation_steps":
        if engine["micro_batch_sequences"] == AUTO:
            sequences = spec["train"]["global_batch_tokens"] // spec["train"]["sequence_length"]
            for steps in range(pinned + 1, sequences + 1):
                if sequences % steps == 0:
                    yield {key: steps}
    elif key in ASCENDING:
        values = ASCENDING[key]
        for value in values[values.index(pinned) + 1 :] if pinned in values else ():
            yield {key: value}
    else:
        yield {key: AUTO}


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
