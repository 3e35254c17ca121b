"""A sweep as one HTML file: its runs by rank with what sets them apart, what they cost, and all their curves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.errors import SpecError, StageError
from forge.files import replace_text
from forge.report.chart import HOVER, Mark, Panel, Series, StepAxis, chart
from forge.report.compare_page import COLORS, Named, beside_sections
from forge.report.page import Section, page, table, text
from forge.report.record import RunRecord, read_record
from forge.report.run_page import GENERATOR, REPORT, STYLE
from forge.run.evaluation_words import change_lines
from forge.run.evaluations import compare_runs
from forge.run.quantities import counted, duration, figure, money
from forge.run.sweep.point import shown
from forge.run.sweep.record import RECORD

Row = Mapping[str, Any]
"""A run of schemas/sweep_record.schema.json."""

BAD = ("failed", "infeasible")
OPEN = ("waiting", "running", "stopped")


def write_sweep_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a sweep and return where it is: `output`, else report.html in the sweep's folder.

    Raises:
        SpecError: its sweep.json cannot be read.
        OSError: the page cannot be written.
    """
    path = folder / REPORT if output is None else output
    replace_text(path, sweep_page(folder, path.parent))
    return path


def sweep_page(folder: Path, beside: Path) -> str:
    """Return the page of a sweep as far as it has come.

    The best runs, as many as there are colors, stand beside each other with the best first; of all others the curves
    of loss are drawn in grey.

    Args:
        folder: of the sweep, beside runs/.
        beside: folder of the page, from which it leads to those of its runs.
    """
    try:
        sweep = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"{folder / RECORD}: cannot be read ({error}): name the folder of a sweep") from None
    rows = distinct(sweep["runs"])
    runs_dir = folder.resolve().parent.parent / "runs"
    named = runs_of(runs_dir, {f"run {row['number']}": row["run"] for row in rows if row["run"]})
    best, others = named[:COLORS], named[COLORS:]
    sections = [
        Section("points", "Runs", _points(sweep, best, os.path.relpath(runs_dir, beside.resolve()))),
        Section("trials", "Trials", _trials(sweep) if sweep["method"] == "optuna" else ""),
        *(beside_sections(best, comparisons(best), others) if best else ()),
    ]
    head = f"<h1>Sweep {text(folder.resolve().name)}{_state(rows)}</h1>{_verdict(sweep, rows, best)}"
    return page(f"sweep {folder.resolve().name}", GENERATOR, head, sections, style=STYLE, script=HOVER)


def distinct(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of a sweep but those whose plan a row before has."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row["plan_id"] or f"run {row['number']}", row)
    return list(found.values())


def runs_of(runs_dir: Path, folders: Mapping[str, str]) -> list[Named]:
    """Return the runs of a sweep that were begun, by what they are called; `folders` below `runs_dir` by that."""
    found = []
    for name, folder in folders.items():
        if (runs_dir / folder / "plan.json").is_file():
            found.append((name, read_record(runs_dir / folder)))
    return found


def comparisons(runs: Sequence[Named]) -> list[dict[str, Any] | None]:
    """Return what each run but the first has better and worse than the first; None where one is not evaluated."""
    return [_compared(runs[0][1], record) for _, record in runs[1:]]


def _compared(first: RunRecord, other: RunRecord) -> dict[str, Any] | None:
    try:
        return compare_runs(first.folder, other.folder)
    except StageError:
        return None


def _state(rows: Sequence[Row]) -> str:
    waiting = sum(row["status"] in OPEN for row in rows)
    failed = sum(row["status"] == "failed" for row in rows)
    word, color = ("done", "good") if not waiting else (f"{waiting:,} of {len(rows):,} not done", "warn")
    if failed:
        word, color = f"{failed:,} of {len(rows):,} failed", "bad"
    return f'<span class="state {color}">{word}</span>'


def _verdict(sweep: Mapping[str, Any], rows: Sequence[Row], best: Sequence[Named]) -> str:
    """Return what was tried and which came out best, and whether the next one is worse by more than chance."""
    ranked = [row for row in rows if row["value"] is not None]
    keys = " and ".join(sweep["keys"]) or "one value"
    metric = sweep["metric"].replace("_", " ")
    lines = [f"{counted(len(rows), 'run')} over {keys}, ranked by {metric}: {sweep['direction']} is better."]
    if ranked:
        first = ranked[0]
        set_apart = shown(first["differs"]) or first["run"]
        lines.append(f"The best is run {first['number']}, {set_apart}: {first['value']:.4f}.")
    if len(ranked) > 1 and len(best) > 1 and (found := _compared(best[0][1], best[1][1])) is not None:
        lines.append(f"From it to the next, run {ranked[1]['number']}: {change_lines(found)[0]}.")
    return "".join(f'<p class="verdict">{text(line)}</p>' for line in lines)


def _points(sweep: Mapping[str, Any], best: Sequence[Named], runs_dir: str) -> str:
    rows: Sequence[Row] = sweep["runs"]
    colors = {name: place for place, (name, _) in enumerate(best)}
    on_gpu = any(row["predicted_gpu_hours"] for row in rows)
    priced = any(row["predicted_cost_usd"] is not None for row in rows)
    used = ("GPU-hours, predicted", "GPU-hours") if on_gpu else ("training, predicted", "training")
    head = ["", "rank", "run", *sweep["keys"], sweep["metric"].replace("_", " "), *used]
    head += ["cost, predicted", "cost"] if priced else []
    cells = []
    for row in rows:
        name = f"run {row['number']}"
        key = f'<i class="key k{colors[name]}"></i>' if name in colors else ""
        label = text(row["number"])
        if row["run"]:
            where = f"{runs_dir}/{row['run']}/{REPORT}"
            label = f'<a href="{text(where)}">{label}</a>'
        shown_row = [key, text(row["rank"] or ""), label]
        shown_row += [_code(row["differs"].get(key, "")) for key in sweep["keys"]]
        shown_row.append("" if row["value"] is None else f"{row['value']:.4f}")
        shown_row += _used(row, on_gpu)
        if priced:
            costs = (row["predicted_cost_usd"], row["cost_usd"])
            shown_row += ["" if cost is None else money(cost) for cost in costs]
        cells.append([*shown_row, _status(row)])
    first_number = 3 + len(sweep["keys"])
    numbers = {1, 2, *range(first_number, len(head))}
    return table([*head, "status"], cells, raw=True, numbers=numbers)


def _code(value: str) -> str:
    return f'<span class="code">{text(value)}</span>'


def _used(row: Row, on_gpu: bool) -> list[str]:
    """Return what the training of a run was predicted to use, and what it did."""
    names, form = (
        (("predicted_gpu_hours", "device_hours"), figure)
        if on_gpu
        else (("predicted_training_s", "training_s"), duration)
    )
    return ["" if row[name] is None else form(row[name]) for name in names]


def _status(row: Row) -> str:
    said = row["status"] if row["step"] is None else f"{row['status']} at step {row['step']:,}"
    color = "bad" if row["status"] in BAD else "warn" if row["status"] in (*OPEN, "pruned") else "good"
    lines = "".join(f'<br><span class="small">{text(line)}</span>' for line in row["lines"])
    return f'<span class="{color}">{text(said)}</span>{lines}'


def _trials(sweep: Mapping[str, Any]) -> str:
    """Return the values of a search in the order they were tried in, the best so far, and which trials ended early."""
    rows = sorted(sweep["runs"], key=lambda row: int(row["number"]))
    tried = [(float(row["number"]), float(row["value"])) for row in rows if row["value"] is not None]
    if not tried:
        return ""
    better = min if sweep["direction"] == "lower" else max
    best = [better(value for _, value in tried[: place + 1]) for place in range(len(tried))]
    numbers, values = [number for number, _ in tried], [value for _, value in tried]
    panel = Panel(
        sweep["metric"].replace("_", " "),
        f"{sweep['direction']} is better",
        (Series("best so far", numbers, best, 1), Series("each trial", numbers, values, 0, "dots")),
        height_px=200,
    )
    lanes = {"pruned": "ended early", "failed": "failed", "infeasible": "infeasible"}
    marks = [
        Mark(lanes[row["status"]], row["number"], _told(row), is_bad=row["status"] in BAD)
        for row in sorted(
            rows, key=lambda row: list(lanes).index(row["status"]) if row["status"] in lanes else 0
        )
        if row["status"] in lanes
    ]
    return chart("trials", [panel], StepAxis(first=1, last=len(rows), name="trial"), marks)


def _told(row: Row) -> str:
    what = "; ".join(row["lines"]) or (
        f"at step {row['step']:,}" if row["step"] is not None else row["status"]
    )
    return f"{what} ({shown(row['differs'])})"
