"""Specs and plans for tests: composed by the real spec room, compiled for a machine that is always the same."""

from __future__ import annotations

import copy
import functools
from typing import Any

from forge.plan.compile import compile_plan
from forge.plan.machine import Machine
from forge.plan.types import Plan, SourcePlan
from forge.spec.compose import compose_spec
from forge.spec.types import Spec

LAPTOP = Machine(cores=2, memory_bytes=16 * 1024**3, has_native_bf16=True, gpu_names=(), gpu_memory_bytes=0)


@functools.cache
def _composed(overrides: tuple[str, ...]) -> Spec:
    return compose_spec(overrides)


def composed(*overrides: str) -> tuple[dict[str, Any], str]:
    """Return (values, hardware option) of a spec; the values are the caller's to change."""
    spec = _composed(overrides)
    return copy.deepcopy(spec.values), spec.choices["hardware"]


def compiled(*overrides: str, machine: Machine = LAPTOP, sources: tuple[SourcePlan, ...] = ()) -> Plan:
    """Return the plan of a spec."""
    values, hardware = composed(*overrides)
    return compile_plan(values, hardware, machine, sources)
