from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from forge.cli.reported import reported
from forge.errors import StageError
from tests.report.runs import BEGAN, a_plan, begin_run, finished_run, step_event, train_start, write_events
from tests.report.sweeps import a_sweep


def forge(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forge.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_page_is_written_into_the_run_or_where_it_is_asked_for(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path)
    done = forge("report", run_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"written to {run_dir / 'report.html'}\n"
    elsewhere = forge("report", run_dir, "--output", tmp_path / "page.html")
    assert elsewhere.returncode == 0
    assert (tmp_path / "page.html").read_text() == (run_dir / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("report", "nowhere"),
            "nowhere: is no folder of a run (it has no plan.json): name one below runs/\n",
        ),
        (
            ("report", "nowhere", "--port", "1"),
            "command line: --host, --port: go with --live: add it, or drop them\n",
        ),
        (
            ("report", "nowhere", "--live", "-o", "x"),
            "command line: --output: goes without --live: drop one\n",
        ),
        (
            ("run", "-q", "-v"),
            "command line: --quiet, --verbose: one says less, the other more: drop one\n",
        ),
        (("compare", "nowhere"), "command line: RUN: names one run: name another to hold it against\n"),
        (
            ("compare", "a", "b", "--json", "--html", "x"),
            "command line: --html: goes without --json: drop one\n",
        ),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], line: str) -> None:
    done = forge(*words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_sweep_has_a_page_and_is_neither_served_nor_held_against_a_run(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path, [1.75])
    done = forge("report", folder)
    assert (done.returncode, done.stdout) == (0, f"written to {folder / 'report.html'}\n")
    for words, option in (((folder, "--live"), "--live"), ((folder, "--against", folder), "--against")):
        refused = forge("report", *words)
        assert (refused.returncode, refused.stderr) == (
            2,
            f"command line: {option}: goes with a run, and {folder} is a sweep: drop it\n",
        )


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan())
    done = forge("report", run_dir, "-o", tmp_path / "none" / "page.html")
    assert done.returncode == 2
    assert "cannot be written (No such file or directory): name another place with --output" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_runs_beside_each_other_are_a_page_and_need_not_be_finished(tmp_path: Path) -> None:
    one, other = finished_run(tmp_path / "a"), begin_run(tmp_path / "b", a_plan())
    write_events(other, [train_start(0, None, 6), step_event(1)])
    done = forge("compare", one, other, "--html", tmp_path / "pages" / "both.html")
    assert (done.returncode, done.stdout) == (0, f"written to {tmp_path / 'pages' / 'both.html'}\n")
    assert "one of the two is not evaluated" in (tmp_path / "pages" / "both.html").read_text()


def test_a_run_leaves_its_page_where_it_fails_and_only_where_something_happened(tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan())
    page = run_dir / "report.html"
    failed = {"time": BEGAN, "event": "stage_failed", "stage": "lake", "error": "StageError('lake: no')"}

    def fail() -> None:
        with reported(run_dir):
            write_events(run_dir, [failed])
            raise StageError("lake: no")

    with pytest.raises(StageError):
        fail()
    assert "lake: no" in page.read_text()
    written_ns = page.stat().st_mtime_ns
    with reported(run_dir):
        pass
    assert page.stat().st_mtime_ns == written_ns


def test_a_page_that_cannot_be_made_does_not_change_how_a_run_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = finished_run(tmp_path)
    (run_dir / "logs").mkdir()
    (run_dir / "report.html").mkdir()
    with reported(run_dir):
        write_events(run_dir, [{"time": BEGAN, "event": "note", "line": "more"}])
    assert "the report cannot be written" in capsys.readouterr().err
    assert "Traceback" in (run_dir / "logs" / "report.log").read_text()
