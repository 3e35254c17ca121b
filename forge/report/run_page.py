"""A run as one HTML file: what was trained, on what, how well, for how much, and where everything comes from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forge.files import replace_text
from forge.report.chart import CHART_STYLE, HOVER
from forge.report.data_part import data_part
from forge.report.evaluation_part import evaluation_part, regression_part
from forge.report.export_part import export_part
from forge.report.flow import FLOW_STYLE
from forge.report.page import Section, page, text
from forge.report.plan_part import PLAN_STYLE, measured_part, plan_part
from forge.report.provenance_part import provenance_part
from forge.report.record import RunRecord, read_record
from forge.report.stages_part import failure_part, stages_part
from forge.report.training_part import training_part
from forge.report.verdict import VERDICT_STYLE, state_of, tiles, verdict
from forge.run.evaluations import compare_runs, previous_run

Against = tuple[str, Mapping[str, Any]]
"""The name of another run, and what `compare_runs` found of it and this one."""

REPORT = "report.html"
GENERATOR = "forge report"
RUN_STYLE = """
.where { white-space: nowrap; } .shares td, .stages td { vertical-align: middle; } .shares td:last-child { width: 45%; }
.stages td:nth-child(3) { width: 22%; } .stages td:first-child { white-space: nowrap; }
@media (max-width: 36rem) { .stages :is(th, td):nth-child(3) { display: none; } .shares td:last-child { width: 30%; } }
"""
STYLE = VERDICT_STYLE + PLAN_STYLE + CHART_STYLE + FLOW_STYLE + RUN_STYLE


def run_page(record: RunRecord, against: Against | None = None, refresh_s: int | None = None) -> str:
    """Return the page of a run as far as it has come.

    Args:
        record: of the run.
        against: what to hold it against.
        refresh_s: after how many seconds the page looks for its next state; None: never.
    """
    name, found = against if against is not None else ("", None)
    sections = [
        Section("failure", "What went wrong", failure_part(record)),
        Section("stages", "Stages", stages_part(record)),
        Section("measured", "Predicted beside measured", measured_part(record)),
        Section("training", "Training", training_part(record)),
        Section("evaluation", "Evaluation", evaluation_part(record)),
        Section("regression", "Beside another run", regression_part(found, name)),
        Section("data", "Data", data_part(record)),
        Section("plan", "Plan", plan_part(record)),
        Section("export", "Export", export_part(record)),
        Section("provenance", "Provenance", provenance_part(record)),
    ]
    title = f"{record.plan.name} {record.plan.id}"
    return page(title, GENERATOR, _head(record), sections, style=STYLE, script=HOVER, refresh_s=refresh_s)


def write_report(run_dir: Path, against: Path | None = None, output: Path | None = None) -> Path:
    """Write the page of a run and return where it is: `output`, else report.html in the run's folder.

    Held against the run named, else against the last one of the same name before it where both are evaluated.

    Raises:
        SpecError: a folder is no run.
        StageError: the run named or this one is not evaluated, so that they cannot be held against each other.
    """
    record = read_record(run_dir)
    path = run_dir / REPORT if output is None else output
    replace_text(path, run_page(record, held_against(record, against)))
    return path


def held_against(record: RunRecord, other: Path | None) -> Against | None:
    """Return the name of the run to hold this one against, and what differs; None where there is none."""
    if other is None and "evaluate" in record.artifacts:
        other = previous_run(record.folder)
    return None if other is None else (other.resolve().name, compare_runs(other, record.folder))


def _head(record: RunRecord) -> str:
    word, color = state_of(record)
    history = record.history
    when = ""
    if history.began is not None and history.latest is not None:
        began, ended = (datetime.fromtimestamp(moment, UTC) for moment in (history.began, history.latest))
        when = f", {began:%d %b %Y %H:%M} to {ended:%d %b %Y %H:%M} UTC"
    return (
        f'<h1>{text(record.plan.name)}<span class="state {color}">{text(word)}</span></h1>'
        f'<p class="quiet">run {text(record.folder.name)}{text(when)}</p>'
        f'<p class="verdict">{text(verdict(record))}</p>{tiles(record)}'
    )
