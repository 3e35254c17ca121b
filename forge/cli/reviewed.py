"""`forge-run plan=FILE`: carry out a plan that was reviewed, if what it says still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.cli.compiling import recompile
from forge.engine.swapping import check_swapping
from forge.errors import FitError, SpecError
from forge.plan.compile import WHERE
from forge.plan.drift import accept_drift, plan_drift
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import probe_machine
from forge.plan.types import Plan, load_plan
from forge.spec.compose import compose_spec


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A plan that a command line names, and where it is to be carried out."""

    file: Path
    output_dir: Path
    hostfile: str | None
    remote_shell: str
    launch: dict[str, Any]
    """Group `launch` of the spec."""
    track: dict[str, Any] | None
    """Group `track` of the spec; None where the command line says nothing of it."""


def reviewed_plan(tokens: Sequence[str]) -> Reviewed | None:
    """Return the plan that a command line names, None where it names none.

    Raises:
        SpecError: something beside the plan and where it is carried out is said; a plan is run as it is.
    """
    values = dict(token.lstrip("+").partition("=")[::2] for token in tokens)
    if "plan" not in values:
        return None
    keys = [token.lstrip("+").partition("=")[0] for token in tokens]
    problems = [
        f"{token}: a plan is carried out as it is: compile another one"
        for token, key in zip(tokens, keys, strict=True)
        if key not in ("plan", *WHERE) and not _is_around(key)
    ]
    problems += [f"{key}: is given more than once: give one" for key in values if keys.count(key) > 1]
    if not values["plan"]:
        problems.append("plan: is empty: name a file that `forge plan` wrote, as plan=plan.json")
    problems += [f"{key}: is empty: give one" for key in WHERE if values.get(key) == ""]
    if problems:
        raise SpecError(*(f"command line: {problem}" for problem in problems))
    around = compose_spec([token for token, key in zip(tokens, keys, strict=True) if _is_around(key)]).values
    return Reviewed(
        Path(values["plan"]).expanduser(),
        Path(values.get("output_dir", ".")),
        values.get("hostfile"),
        values.get("remote_shell", "ssh"),
        around["launch"],
        around["track"] if any(key.partition(".")[0] == "track" for key in keys) else None,
    )


def _is_around(key: str) -> bool:
    return key.partition(".")[0] in ("launch", "track")


def ready(file: Path, accepts_drift: bool) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan of `file`, ready to be carried out here, and the drift that was accepted.

    Raises:
        SpecError: it is no plan, or its documents are not there.
        FitError: code, documents or hardware are no longer what the plan says, and that is not accepted.
    """
    return ready_plan(load_plan(file), str(file), accepts_drift)


def ready_plan(plan: Plan, where: str, accepts_drift: bool) -> tuple[Plan, tuple[str, ...]]:
    """Return `plan` ready to be carried out, as `ready`; `where` begins the lines of errors."""
    machine = probe_machine()
    now, hardware = recompile(plan, machine, where)
    check_runnable(hardware, machine)
    check_carried_out(plan.layout)
    if plan.layout.nodes == 1:
        check_swapping(plan.layout)
    drift = tuple(plan_drift(plan, now))
    if drift and not accepts_drift:
        raise FitError(
            *(f"{where}: {line}" for line in drift),
            f"{where}: compile it again, or carry it out all the same with --accept-drift",
        )
    return (accept_drift(plan, now) if drift else plan), drift
