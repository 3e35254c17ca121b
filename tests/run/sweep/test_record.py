"""What a sweep leaves behind, and how it ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from forge.plan.types import plan_to_json
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Outcome, Point
from forge.run.sweep.record import Sweep, read_record, write_record, write_table
from forge.spec.schema import validator
from tests.run.sweep.quick import point
from tests.summaries import SUMMARIES


def finished(number: int, output_dir: Path, value: float, differs: str) -> Point:
    """Return a point whose run is done, as its summary says."""
    made = point(number, output_dir)
    made.run_dir.mkdir(parents=True)
    (made.run_dir / "plan.json").write_text(plan_to_json(made.plan))
    evaluation = SUMMARIES["evaluate"] | {"held_out_bits_per_byte": value}
    summary: dict[str, Any] = {"training": SUMMARIES["train"], "evaluation": evaluation}
    (made.run_dir / "summary.json").write_text(json.dumps(summary))
    return Point(number, made.overrides, {"train.learning_rate": differs}, made.plan, output_dir)


@pytest.fixture
def state(tmp_path: Path) -> State:
    points: list[Point | Infeasible] = [
        finished(1, tmp_path, 2.5, "1e-3"),
        finished(2, tmp_path, 2.25, "3e-3"),
        Infeasible(3, ("train.learning_rate=9",), {"train.learning_rate": "9"}, ("does not fit",)),
        point(4, tmp_path),
        point(5, tmp_path),
    ]
    outcomes = {
        1: Outcome("done"),
        2: Outcome("done"),
        3: Outcome("infeasible", ("does not fit",)),
        4: Outcome("pruned", step=20),
    }
    return State(points, outcomes)


def sweep(output_dir: Path, metric: str = "held_out_bits_per_byte") -> Sweep:
    return Sweep("0123456789ab", "tiny", "grid", metric, ("train.learning_rate",), output_dir)


def test_runs_are_ranked_and_none_is_left_out(tmp_path: Path, state: State) -> None:
    rows = write_record(sweep(tmp_path), state)
    assert [(row["rank"], row["number"], row["status"]) for row in rows] == [
        (1, 2, "done"),
        (2, 1, "done"),
        (None, 3, "infeasible"),
        (None, 4, "pruned"),
        (None, 5, "waiting"),
    ]
    assert rows[0]["value"] == 2.25
    assert rows[0]["training_s"] == SUMMARIES["train"]["wall_clock_s"] == 90.0
    assert rows[0]["device_hours"] == 90.0 / 3600
    assert rows[0]["overrides"] == ["seed=2"]
    content = json.loads((tmp_path / "sweeps" / "tiny-0123456789ab" / "sweep.json").read_text())
    validator("sweep_record").validate(content)
    assert content["direction"] == "lower"
    assert [row["number"] for row in read_record(sweep(tmp_path))] == [1, 2, 3, 4, 5]


def test_a_metric_of_which_more_is_better_ranks_the_other_way(tmp_path: Path, state: State) -> None:
    for each in state.points[:2]:
        assert isinstance(each, Point)
        file = each.run_dir / "summary.json"
        summary = json.loads(file.read_text())
        share = 0.5 if each.number == 1 else 0.25
        rates = {"exact_fraction": share, "abstained_fraction": 0.0, "wrong_fraction": 1 - share}
        summary["evaluation"]["recall"] = {"model": {"known": rates}}
        file.write_text(json.dumps(summary))
    rows = write_record(sweep(tmp_path, "known_exact_fraction"), state)
    assert [(row["rank"], row["number"], row["value"]) for row in rows[:2]] == [(1, 1, 0.5), (2, 2, 0.25)]


def test_equal_runs_share_a_rank(tmp_path: Path, state: State) -> None:
    first = state.points[0]
    assert isinstance(first, Point)
    state.points.append(Point(6, first.overrides, first.differs, first.plan, tmp_path))
    state.outcomes[6] = Outcome("done")
    rows = write_record(sweep(tmp_path), state)
    assert [(row["rank"], row["number"]) for row in rows[:3]] == [(1, 2), (2, 1), (2, 6)]


def test_the_table_is_flat_and_its_values_are_numbers(tmp_path: Path, state: State) -> None:
    rows = write_record(sweep(tmp_path), state)
    table = parquet.read_table(write_table(sweep(tmp_path), rows))
    assert table.column("train.learning_rate").to_pylist() == [3e-3, 1e-3, 9.0, None, None]
    assert table.column("held_out_bits_per_byte").to_pylist() == [2.25, 2.5, None, None, None]
    assert table.column("status").to_pylist() == ["done", "done", "infeasible", "pruned", "waiting"]
    assert table.column("lines").to_pylist()[2] == "does not fit"
    assert table.num_rows == len(state.points)


def test_a_record_that_is_damaged_or_missing_is_none(tmp_path: Path, state: State) -> None:
    assert read_record(sweep(tmp_path)) == []
    write_record(sweep(tmp_path), state)
    (tmp_path / "sweeps" / "tiny-0123456789ab" / "sweep.json").write_text('{"runs": [')
    assert read_record(sweep(tmp_path)) == []
