from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forge.report.compare_page import compare_page
from forge.report.record import read_record
from forge.run.evaluations import compare_runs
from tests.report.runs import a_plan, begin_run, finished_run, step_event, train_start, write_events
from tests.report.test_audit_page import Balance
from tests.report.test_run_page import words
from tests.summaries import HOSTILE


def test_what_was_set_otherwise_what_came_of_it_and_what_differs(tmp_path: Path) -> None:
    runs = [
        finished_run(tmp_path / "a", bits=2.0),
        finished_run(tmp_path / "b", bits=1.5, spec={"train": {"learning_rate": 0.01}, "note": HOSTILE}),
    ]
    page = compare_page("two", [read_record(run) for run in runs], [compare_runs(*runs)])
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script>alert" not in page
    shown = words(page)
    assert "train.learning_rate 0.003 0.01" in shown
    assert "held-out bits per byte 2.0000 1.5000" in shown
    assert "2.0000 to 1.5000 bits per byte, -0.5000" in shown
    assert "step time 0.5 s / 0.25 s (+100 %) 0.5 s / 0.25 s (+100 %)" in shown


def test_runs_of_other_batches_are_held_against_each_other_by_tokens(tmp_path: Path) -> None:
    plan = a_plan()
    larger = replace(plan, schedule=replace(plan.schedule, global_batch_tokens=256))
    records = []
    for name, one in (("a", plan), ("b", replace(larger, id=""))):
        run_dir = begin_run(tmp_path / name, plan)
        write_events(run_dir, [train_start(0, None, 6), step_event(3)])
        records.append(replace(read_record(run_dir), plan=one))
    page = compare_page("two", records, [None])
    assert "tokens 0" in page
    assert "[[384],[" in page.replace("&quot;", '"')
    assert "[[768],[" in page.replace("&quot;", '"')
    assert "one of the two is not evaluated" in page


def test_runs_of_the_same_plan_say_that_nothing_differs(tmp_path: Path) -> None:
    records = [read_record(begin_run(tmp_path / name, a_plan())) for name in ("a", "b")]
    page = compare_page("two", records, [None])
    assert "Nothing: the plans were compiled from the same" in page
