"""From a command line to a plan: compose, ask the machine and the data, compile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.data.fingerprint import fingerprint
from forge.data.model_folder import fingerprint_model
from forge.errors import SpecError, StageError
from forge.plan.compile import compile_plan
from forge.plan.hardware import Hardware, resolve_hardware
from forge.plan.machine import Machine
from forge.plan.pretrained import InitialWeights, continue_from, read_pretrained
from forge.plan.types import Plan, SourcePlan
from forge.spec.compose import compose_spec
from forge.spec.locate import located
from forge.spec.types import Spec


@dataclass(frozen=True, slots=True)
class Compiled:
    """A command line, compiled."""

    spec: Spec
    plan: Plan
    hardware: Hardware
    notes: tuple[str, ...]
    """What the user should know that is not an error."""


def compile_overrides(overrides: Sequence[str], machine: Machine, needs_data: bool) -> Compiled:
    """Compile one command line.

    Args:
        overrides: as typed.
        machine: this machine, for `hardware=local`.
        needs_data: refuse where the documents are not at hand; a plan can be made without them.

    Raises:
        SpecError: the spec is wrong, or its documents are not there and `needs_data`.
        FitError: nothing fits the hardware.
    """
    return compile_spec(compose_spec(overrides), machine, needs_data)


def compile_spec(spec: Spec, machine: Machine, needs_data: bool) -> Compiled:
    """Compile what `compose_spec` returned; as `compile_overrides`."""
    sources, missing = _sources(spec.values["data"]["path"], spec.where(("data", "path")))
    if missing and needs_data:
        raise SpecError(*missing)
    try:
        values, initial = _initial(spec.values, lambda key: spec.origins[key][0].trust != "conf")
        plan = compile_plan(values, spec.choices["hardware"], machine, sources, initial)
        hardware = resolve_hardware(spec.values["hardware"], spec.choices["hardware"], machine)
    except SpecError as error:
        raise SpecError(*(located(spec, line) for line in error.lines)) from None
    return Compiled(spec, plan, hardware, spec.notes + missing)


def recompile(plan: Plan, machine: Machine, where: str) -> tuple[Plan, Hardware]:
    """Return the plan that `plan`'s spec compiles to now and here, and its hardware.

    Raises:
        SpecError: its documents are not there, or it does not compile here.
        FitError: nothing fits what the hardware is now.
    """
    path = plan.spec["data"]["path"]
    if path is None:
        raise SpecError(f"{where}: was made without documents: compile it again with data.path=/my/folder")
    sources, missing = _sources(path, where)
    if missing:
        # Whoever carries out a plan sets nothing in it.
        raise SpecError(*(line.replace(_SET_ANOTHER, _PUT_IT_THERE) for line in missing))
    try:
        values, initial = _initial(plan.spec, lambda _: True)
        now = compile_plan(values, plan.layout.hardware, machine, sources, initial)
        return now, resolve_hardware(plan.spec["hardware"], plan.layout.hardware, machine)
    except SpecError as error:
        raise SpecError(*(f"{where}: {line}" for line in error.lines)) from None


_SET_ANOTHER = "set data.path to a folder or file of documents"
_PUT_IT_THERE = "put it there, or compile a plan for other documents with `forge plan`"


def source_hashes() -> Path | None:
    """Return the file that remembers hashes of the user's files; None where the user has no cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(cache) if cache else Path.home() / ".cache") / "forge"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder / "source-hashes.sqlite"


def _initial(
    values: dict[str, Any], is_pinned: Callable[[tuple[str, str]], bool]
) -> tuple[dict[str, Any], InitialWeights | None]:
    """Return the values with the shape of the model that training starts from, and that model."""
    path = values["model"]["init_from"]
    if path is None:
        return values, None
    pretrained = read_pretrained(path)
    try:
        found = fingerprint_model(pretrained.folder, source_hashes())
    except StageError as error:
        raise SpecError(*(f"model.init_from: {line}" for line in error.lines)) from None
    source = SourcePlan(str(pretrained.folder), found.files, found.bytes, found.sha256)
    values = continue_from(values, pretrained, is_pinned)
    return values, InitialWeights(source, pretrained.vocab_size)


def _sources(path: str | list[str] | None, where: str) -> tuple[tuple[SourcePlan, ...], tuple[str, ...]]:
    """Return what the sources hold now; where one is not at hand none counts, and a line says why."""
    if path is None:
        return (), (f"{where}: data.path: say where your documents are: data.path=/my/folder",)
    sources = []
    missing: list[str] = []
    for source in [path] if isinstance(path, str) else path:
        try:
            found = fingerprint(source, source_hashes())
        except StageError as error:
            missing.extend(f"{where}: data.path: {line}" for line in error.lines)
            continue
        sources.append(SourcePlan(source, found.files, found.bytes, found.sha256))
    return (() if missing else tuple(sources)), tuple(missing)
