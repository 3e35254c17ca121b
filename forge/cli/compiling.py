"""From a command line to a plan: compose, ask the machine and the data, compile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from forge.data.fingerprint import fingerprint
from forge.data.model_folder import fingerprint_model
from forge.errors import SpecError, StageError
from forge.plan.compile import compile_plan
from forge.plan.hardware import Hardware, resolve_hardware
from forge.plan.machine import Machine
from forge.plan.pretrained import InitialWeights, continue_from, read_pretrained
from forge.plan.types import PackPlan, Plan, SourcePlan
from forge.spec.compose import compose_spec
from forge.spec.locate import located
from forge.spec.search_path import SearchPath, default_search_path
from forge.spec.types import Spec
from forge.spec.validate import NOT_GIVEN


@dataclass(frozen=True, slots=True)
class Compiled:
    """A command line, compiled."""

    spec: Spec
    plan: Plan
    hardware: Hardware
    notes: tuple[str, ...]
    """What the user should know that is not an error."""


@dataclass(slots=True)
class Shared:
    """What several command lines have in common and is read once for all of them."""

    search_path: SearchPath = field(default_factory=default_search_path)
    sources: dict[str, SourcePlan] = field(default_factory=dict)
    """What was found where."""


def compile_overrides(
    overrides: Sequence[str], machine: Machine, needs_data: bool, shared: Shared | None = None
) -> Compiled:
    """Compile one command line.

    Args:
        overrides: as typed.
        machine: this machine, for `hardware=local`.
        needs_data: refuse where the documents, or the model that the spec goes on from, are not at hand; a plan can be
            made without them.
        shared: what was read for other command lines.

    Raises:
        SpecError: the spec is wrong, or what it needs is not there and `needs_data`.
        FitError: nothing fits the hardware.
    """
    shared = shared or Shared()
    return compile_spec(compose_spec(overrides, shared.search_path), machine, needs_data, shared)


def compile_spec(spec: Spec, machine: Machine, needs_data: bool, shared: Shared | None = None) -> Compiled:
    """Compile what `compose_spec` returned; as `compile_overrides`."""
    known = {} if shared is None else shared.sources
    sources, missing = _sources(spec.values["data"]["path"], spec.where(("data", "path")), known)
    if spec.values["model"]["init_from"] == NOT_GIVEN:
        missing += (
            f"{spec.where(('model', 'init_from'))}: model.init_from: say where the model is that training goes on "
            "from: model.init_from=/my/model",
        )
    if missing and needs_data:
        raise SpecError(*missing)
    try:
        values, initial = _initial(spec.values, lambda key: spec.origins[key][0].order >= 0)
        plan = compile_plan(
            values, spec.choices["hardware"], machine, sources, initial, _rival_sha256(values)
        )
        hardware = resolve_hardware(spec.values["hardware"], spec.choices["hardware"], machine)
    except SpecError as error:
        raise SpecError(*(located(spec, line) for line in error.lines)) from None
    packs = tuple(PackPlan(**asdict(pack)) for pack in spec.packs)
    return Compiled(spec, replace(plan, packs=packs), hardware, spec.notes + missing)


def recompile(plan: Plan, machine: Machine, where: str) -> tuple[Plan, Hardware]:
    """Return the plan that `plan`'s spec compiles to now and here, and its hardware.

    Raises:
        SpecError: its documents are not there, or it does not compile here.
        FitError: nothing fits what the hardware is now.
    """
    path = plan.spec["data"]["path"]
    if path is None:
        raise SpecError(f"{where}: was made without documents: compile it again with data.path=/my/folder")
    if plan.spec["model"]["init_from"] == NOT_GIVEN:
        raise SpecError(
            f"{where}: was made without the model it goes on from: compile it again with model.init_from=/my/model"
        )
    sources, missing = _sources(path, where, {})
    if missing:
        # Whoever carries out a plan sets nothing in it.
        raise SpecError(*(line.replace(_SET_ANOTHER, _PUT_IT_THERE) for line in missing))
    try:
        values, initial = _initial(plan.spec, lambda _: True)
        now = compile_plan(values, plan.layout.hardware, machine, sources, initial, _rival_sha256(values))
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
    if path in (None, NOT_GIVEN):
        return values, None
    pretrained = read_pretrained(path)
    try:
        found = fingerprint_model(pretrained.folder, source_hashes())
    except StageError as error:
        raise SpecError(*(f"model.init_from: {line}" for line in error.lines)) from None
    source = SourcePlan(str(pretrained.folder), found.files, found.bytes, found.sha256)
    values = continue_from(values, pretrained, is_pinned)
    return values, InitialWeights(source, pretrained.vocab_size)


def _rival_sha256(values: dict[str, Any]) -> str | None:
    """Return the hash of the model that `evaluate.rival_folder` names; None where it is not there: a run says so."""
    folder = values["evaluate"]["rival_folder"]
    if folder is None:
        return None
    try:
        return fingerprint_model(Path(folder), source_hashes()).sha256
    except StageError:
        return None


def _sources(
    path: str | list[str] | None, where: str, known: dict[str, SourcePlan]
) -> tuple[tuple[SourcePlan, ...], tuple[str, ...]]:
    """Return what the sources hold now; where one is not at hand none counts, and a line says why.

    Those in `known` are taken from there, and it is added to.
    """
    if path is None:
        return (), (f"{where}: data.path: say where your documents are: data.path=/my/folder",)
    sources = []
    missing: list[str] = []
    for source in [path] if isinstance(path, str) else path:
        if source in known:
            sources.append(known[source])
            continue
        try:
            found = fingerprint(source, source_hashes())
        except StageError as error:
            missing.extend(f"{where}: data.path: {line}" for line in error.lines)
            continue
        known[source] = SourcePlan(source, found.files, found.bytes, found.sha256)
        sources.append(known[source])
    return (() if missing else tuple(sources)), tuple(missing)
