"""Sweeps made by hand, of the runs of tests.report.runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forge.run.ladder import conclude, first_points, next_points, write_ladder
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Outcome, Point
from forge.run.sweep.record import Sweep, write_record
from forge.spec.schema import validator
from tests.factories import tiny_plan
from tests.report.runs import a_plan, begin_run, evaluation_event, finished_run, step_event, write_events
from tests.run.test_ladder import LADDER, losses
from tests.summaries import HOSTILE, SUMMARIES

KEY = "train.learning_rate"


def finished_point(root: Path, number: int, bits: float) -> Point:
    """Write a run that is done, with its summary; return it as a point."""
    rate = 0.001 * number
    changes = _changes(number, rate)
    run_dir = finished_run(root, bits=bits, **changes)
    evaluation = SUMMARIES["evaluate"] | {"held_out_bits_per_byte": bits}
    (run_dir / "summary.json").write_text(
        json.dumps({"training": SUMMARIES["train"], "evaluation": evaluation})
    )
    return Point(number, (f"{KEY}={rate:g}",), {KEY: f"{rate:g}"}, a_plan(**changes), root)


def _changes(number: int, rate: float) -> dict[str, Any]:
    """Return what sets the plan of a run apart; its data is that of the others."""
    stages = tuple(
        replace(stage, key=f"{stage.key[:-3]}{number:03}")
        if stage.name in ("train", "evaluate", "export")
        else stage
        for stage in tiny_plan().stages
    )
    return {"spec": {"name": "tiny", "train": {"learning_rate": rate}, "note": HOSTILE}, "stages": stages}


def pruned_point(root: Path, number: int) -> Point:
    """Write a run that a search ended early; return it as a point."""
    plan = a_plan(**_changes(number, 1.0 * number))
    write_events(begin_run(root, plan), [*map(step_event, (1, 2)), evaluation_event(2, 7.5)])
    return Point(number, (f"{KEY}={number}",), {KEY: f"{number}"}, plan, root)


def a_sweep(root: Path, bits: Sequence[float], method: str = "grid", pruned: int = 0) -> Path:
    """Write a sweep whose runs came to `bits` per byte, and one that does not compile; return its folder."""
    done = len(bits)
    points: list[Point | Infeasible] = [
        finished_point(root, number, one) for number, one in enumerate(bits, 1)
    ]
    points += [pruned_point(root, done + number) for number in range(1, pruned + 1)]
    points.append(Infeasible(len(points) + 1, (f"{KEY}=9",), {KEY: "9"}, (f"does not fit {HOSTILE}",)))
    outcomes = {number: Outcome("done") for number in range(1, done + 1)}
    outcomes |= {done + number: Outcome("pruned", step=2) for number in range(1, pruned + 1)}
    outcomes[len(points)] = Outcome("infeasible", ("does not fit",))
    sweep = Sweep("0123456789ab", "tiny", method, "held_out_bits_per_byte", (KEY,), root)
    write_record(sweep, State(points, outcomes))
    validator("sweep_record").validate(json.loads((sweep.folder / "sweep.json").read_text()))
    return sweep.folder


def a_ladder(root: Path) -> Path:
    """Write a ladder of four rungs whose runs are there; return its folder."""
    measured = losses(1.3)
    measured |= {point: 2.7 - 0.15 * point.rung for point in next_points(LADDER, measured)}
    folders = {}
    for number, point in enumerate(measured):
        folders[point] = finished_run(root, **_changes(number, 0.001 * (number + 1))).name
    assert set(first_points(LADDER)) < set(folders)
    run = a_plan(name="large")
    return write_ladder(root, run, LADDER, measured, folders, conclude(LADDER, measured, 1)).parent
