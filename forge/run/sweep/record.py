"""What a sweep leaves: sweeps/<name>-<id>/sweep.json and table.parquet, beside runs/ and artifacts/.

sweep.json keeps to schemas/sweep_record.schema.json. It has the sweep's `id`, `name`, `method`, `metric` and its
`direction`, the `keys` that vary, and `runs`: one row a run, ranked ones first. Of a row, `differs` has the values of
those keys as typed, `overrides` the command line that carries out this run by itself, `figures` what was measured by
name, `value` the one it is ranked by; predicted and measured cost are of the training. It is written anew after each
change, so that it says at any time where a sweep is.

table.parquet has the same rows, flat: a column for each key that varies and for each figure, the values of keys as
numbers where all are.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forge.evaluate.metrics import metrics_of
from forge.files import replace_text
from forge.run.sweep.carry_out import State
from forge.run.sweep.point import Infeasible, Point
from forge.run.sweep.processes import watch_of

RECORD = "sweep.json"
TABLE = "table.parquet"

HIGHER_IS_BETTER = frozenset(
    {"known_exact_fraction", "unknown_abstained_fraction", "known_exact_over_retrieval"}
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep is, and where it is kept."""

    id: str
    name: str
    method: str
    metric: str
    keys: tuple[str, ...]
    """That vary, in the order of the command line."""
    output_dir: Path

    @property
    def folder(self) -> Path:
        """Where it leaves what it found."""
        return self.output_dir / "sweeps" / f"{self.name}-{self.id}"

    @property
    def direction(self) -> Literal["lower", "higher"]:
        """Which values of the metric are better."""
        return "higher" if self.metric in HIGHER_IS_BETTER else "lower"


def figures_of(point: Point) -> dict[str, float]:
    """Return what a finished run measured, by name; nothing where its summary cannot be read."""
    try:
        summary = _summary(point)
        return {"final_loss": summary["training"]["final_loss"]} | metrics_of(summary["evaluation"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _summary(point: Point) -> dict[str, Any]:
    file = point.run_dir / "summary.json"
    return _read_summary(file, file.stat().st_mtime_ns)


@functools.cache
def _read_summary(file: Path, changed_ns: int) -> dict[str, Any]:
    """Return a run's summary, read once: the record is written again after each change."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def rows_of(sweep: Sweep, state: State) -> list[dict[str, Any]]:
    """Return the rows of a sweep: runs that are done by rank, then the others by number. Equal runs share a rank."""
    rows = [_row(sweep, state, point) for point in state.points]
    ranked = [row for row in rows if row["value"] is not None]
    sign = -1 if sweep.direction == "higher" else 1
    ranked.sort(key=lambda row: (sign * row["value"], row["number"]))
    ranks: dict[str, int] = {}
    for row in ranked:
        row["rank"] = ranks.setdefault(row["plan_id"], len(ranks) + 1)
    return [*ranked, *(row for row in rows if row["value"] is None)]


def _row(sweep: Sweep, state: State, point: Point | Infeasible) -> dict[str, Any]:
    outcome = state.outcome(point.number)
    row: dict[str, Any] = {
        "rank": None,
        "number": point.number,
        "status": outcome.status,
        "run": None,
        "plan_id": None,
        "differs": point.differs,
        "overrides": list(point.overrides),
        "value": None,
        "figures": {},
        "predicted_training_s": None,
        "predicted_gpu_hours": None,
        "predicted_cost_usd": None,
        "training_s": None,
        "device_hours": None,
        "cost_usd": None,
        "step": outcome.step,
        "lines": list(outcome.lines),
    }
    if isinstance(point, Infeasible):
        return row
    estimates = point.plan.estimates
    row |= {
        "run": point.run_dir.name,
        "plan_id": point.plan.id,
        "predicted_training_s": estimates.wall_clock_s,
        "predicted_gpu_hours": estimates.gpu_hours,
        "predicted_cost_usd": estimates.cost_usd,
    }
    if outcome.status == "done":
        figures = figures_of(point)
        return row | {"figures": figures, "value": figures.get(sweep.metric)} | _measured(point)
    return row


def _measured(point: Point) -> dict[str, float | None]:
    """Return what the training of a finished run took: seconds of all its attempts, and what those cost."""
    try:
        training_s = float(_summary(point)["training"]["wall_clock_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    estimates = point.plan.estimates
    device_hours = point.plan.layout.world_size * training_s / 3600
    cost_usd = None
    if estimates.cost_usd is not None and estimates.gpu_hours:
        cost_usd = device_hours * estimates.cost_usd / estimates.gpu_hours
    return {"training_s": training_s, "device_hours": device_hours, "cost_usd": cost_usd}


def write_record(sweep: Sweep, state: State) -> list[dict[str, Any]]:
    """Write sweep.json and return its rows.

    Raises:
        OSError: it cannot be written.
    """
    rows = rows_of(sweep, state)
    content = {
        "format": 1,
        "id": sweep.id,
        "name": sweep.name,
        "method": sweep.method,
        "metric": sweep.metric,
        "direction": sweep.direction,
        "keys": list(sweep.keys),
        "runs": rows,
    }
    sweep.folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    replace_text(sweep.folder / RECORD, text)
    return rows


def read_record(sweep: Sweep) -> list[dict[str, Any]]:
    """Return the rows that an earlier command left, by number; none where there are none, or they are damaged."""
    try:
        content = json.loads((sweep.folder / RECORD).read_text(encoding="utf-8"))
        return sorted(content["runs"], key=lambda row: int(row["number"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []


def held_out_of(point: Point) -> dict[int, float]:
    """Return the held-out losses that a run has measured while training, by step."""
    return watch_of(point).held_out


def write_table(sweep: Sweep, rows: Sequence[dict[str, Any]]) -> Path:
    """Write table.parquet and return where it is.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    columns: dict[str, pa.Array] = {
        name: pa.array([row[name] for row in rows], kind)
        for name, kind in (("rank", pa.int32()), ("number", pa.int32()), ("status", pa.string()))
    }
    columns |= {key: _typed(row["differs"].get(key) for row in rows) for key in sweep.keys}
    figures = dict.fromkeys([sweep.metric, *(name for row in rows for name in row["figures"])])
    columns |= {name: pa.array([row["figures"].get(name) for row in rows], pa.float64()) for name in figures}
    for name in (
        *("predicted_training_s", "predicted_gpu_hours", "predicted_cost_usd"),
        *("training_s", "device_hours", "cost_usd"),
    ):
        columns[name] = pa.array([row[name] for row in rows], pa.float64())
    columns["step"] = pa.array([row["step"] for row in rows], pa.int64())
    for name in ("run", "plan_id"):
        columns[name] = pa.array([row[name] for row in rows], pa.string())
    columns["lines"] = pa.array(["\n".join(row["lines"]) for row in rows], pa.string())
    path = sweep.folder / TABLE
    beside = path.with_name(f".{TABLE}")
    parquet.write_table(pa.table(columns), beside)
    beside.replace(path)
    return path


def _typed(texts: Iterable[str | None]) -> Any:
    """Return a column of values as typed: whole numbers or numbers where all are, else texts."""
    import pyarrow as pa

    values = list(texts)
    for number, kind in ((int, pa.int64()), (float, pa.float64())):
        try:
            return pa.array([None if value is None else number(value) for value in values], kind)
        except (ValueError, OverflowError):
            continue
    return pa.array(values, pa.string())
