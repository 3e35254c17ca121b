"""Sweeps whose runs do next to nothing, each in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forge.plan.types import plan_id
from forge.progress import SilentProgress
from forge.run.sweep import processes
from forge.run.sweep.carry_out import Chooser, NoMore, State, carry_out
from forge.run.sweep.point import Infeasible, Point
from forge.run.sweep.slots import Slots
from tests.factories import tiny_plan

OWN_STAGES = ("train", "evaluate", "export")


def point(
    number: int,
    output_dir: Path,
    quick: dict[str, Any] | None = None,
    layout: dict[str, Any] | None = None,
    shares: bool = True,
) -> Point:
    """Return a point that shares its data with the others of a sweep, unless it does not."""
    plan = tiny_plan(layout=layout, seed=number, spec={"quick": quick or {}})
    stages = tuple(
        replace(stage, key=f"{stage.key[:-3]}{number:03}")
        if stage.name in OWN_STAGES or not shares
        else stage
        for stage in plan.stages
    )
    plan = replace(plan, stages=stages)
    plan = replace(plan, id=plan_id(plan))
    return Point(number, (f"seed={number}",), {"seed": str(number)}, plan, output_dir)


def command(child: Point, source_hashes: Path | None) -> list[str]:
    """Return the command of a run that does next to nothing."""
    words = [sys.executable, "-m", "tests.run.sweep.quick_child"]
    return [*words, "--plan", str(child.run_dir / "plan.json"), "--output-dir", str(child.output_dir)]


def slots(output_dir: Path, gpus: Sequence[str] = (), parallel_runs: int | None = None) -> Slots:
    return Slots(output_dir / "sweeps" / "slots", tuple(gpus), parallel_runs)


def carry(
    points: Sequence[Point | Infeasible],
    places: Slots,
    said: list[str] | None = None,
    chooser: Chooser | None = None,
) -> State:
    """Carry out points and return what became of them."""
    state = State(list(points))
    say = (said if said is not None else []).append
    carry_out(state, places, chooser or NoMore(), SilentProgress(), say, lambda _: None)
    return state


def make_quick(monkeypatch: Any) -> None:
    """Have runs do next to nothing from now on."""
    monkeypatch.setattr(processes, "_command", command)
