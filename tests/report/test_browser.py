from __future__ import annotations

import json
import re
from pathlib import Path

import pypdfium2
import pytest

from forge.report.chart import CHART_STYLE, HOVER, Panel, Series, StepAxis, chart
from forge.report.compare_page import compare_page
from forge.report.ladder_page import write_ladder_report
from forge.report.page import Section, page
from forge.report.record import read_record
from forge.report.run_page import run_page
from forge.report.sweep_page import write_sweep_report
from forge.run.evaluations import compare_runs
from tests.report.browser import browse, first_pixel, needs_browser
from tests.report.runs import finished_run
from tests.report.sweeps import a_ladder, a_sweep

pytestmark = needs_browser


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(run_page(read_record(finished_run(folder / "run"))), encoding="utf-8")
    return path


def test_a_page_is_shown_with_its_charts_and_a_silent_console(written: Path) -> None:
    shown, console = browse(written, "--dump-dom")
    assert console == []
    assert shown.count("<polyline") == 8  # loss three times, rate, norm, speed, MFU, memory
    assert "<figure" in shown


def test_what_the_policy_does_not_allow_does_not_run_and_is_said(tmp_path: Path) -> None:
    """Else the console above could be silent because nothing is heard."""
    path = tmp_path / "page.html"
    hostile = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
    path.write_text(page("quiet", "forge report", hostile, [], script="0"), encoding="utf-8")
    shown, console = browse(path, "--dump-dom")
    assert "<title>quiet</title>" in shown
    assert console


def test_dark_is_dark_and_light_is_light(written: Path, tmp_path: Path) -> None:
    pictures = {}
    for name, flags in (("light", ()), ("dark", ("--force-dark-mode",))):
        picture = tmp_path / f"{name}.png"
        browse(written, "--window-size=1280,900", f"--screenshot={picture}", *flags)
        pictures[name] = first_pixel(picture)
    assert min(pictures["light"]) == 255
    assert max(pictures["dark"]) < 50


def test_no_part_is_wider_than_a_narrow_window(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "narrow.html"
    measure = (
        "document.title = String(document.documentElement.scrollWidth - document.documentElement.clientWidth)"
    )
    content = re.sub(
        r"<script>.*?</script>", f"<script>{measure}</script>", written.read_text(), flags=re.DOTALL
    )
    path.write_text(
        re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", content), encoding="utf-8"
    )
    shown, _ = browse(path, "--window-size=500,900", "--dump-dom")
    assert "<title>0</title>" in shown


def test_paper_has_everything_what_is_folded_as_well(written: Path, tmp_path: Path) -> None:
    paper = tmp_path / "paper.pdf"
    browse(written, f"--print-to-pdf={paper}")
    document = pypdfium2.PdfDocument(paper)
    text = "".join(sheet.get_textpage().get_text_bounded() for sheet in document)
    for words in ("predicted", "held out", "near duplicate", "Jaccard 0.9 with kept", "2.13.0", "c" * 20):
        assert words in text, words


def test_the_pointer_reads_the_curves(tmp_path: Path) -> None:
    series = Series("loss", [0, 50, 100], [3.5, 2.5, 1.25])
    figure = chart("c", [Panel("loss", "", (series,))], StepAxis(last=100))
    move = """
addEventListener('load', () => {
  const plot = document.querySelector('.panel svg'), at = plot.getBoundingClientRect();
  plot.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: at.left + 0.9 * at.width }));
});"""
    path = tmp_path / "page.html"
    path.write_text(page("t", "g", "", [Section("c", "c", figure)], style=CHART_STYLE, script=HOVER + move))
    shown, console = browse(path, "--dump-dom")
    assert console == []
    assert re.search(r'class="at"[^>]*>1.25 at 100<', shown)


def test_runs_beside_each_other_are_shown(tmp_path: Path) -> None:
    runs = [finished_run(tmp_path / "a", bits=2.0), finished_run(tmp_path / "b", bits=1.5)]
    records = [read_record(run) for run in runs]
    path = tmp_path / "compare.html"
    path.write_text(compare_page("two", records, [compare_runs(*runs)]), encoding="utf-8")
    shown, console = browse(path, "--dump-dom")
    assert console == []
    assert shown.count("<polyline") == 2 * 6


@pytest.mark.parametrize("method", ["grid", "optuna"])
def test_a_sweep_is_shown_and_its_table_is_that_of_its_record(tmp_path: Path, method: str) -> None:
    folder = a_sweep(tmp_path, [1.75, 1.5], method, pruned=1)
    shown, console = browse(write_sweep_report(folder), "--dump-dom")
    assert console == []
    rows = json.loads((folder / "sweep.json").read_text())["runs"]
    values = [f"{row['value']:.4f}" for row in rows if row["value"] is not None]
    assert re.findall(r'<td class="n">(\d\.\d{4})</td>', shown.partition('id="training"')[0])[:2] == values
    # loss of three runs, held out of three, four curves of the two that are done; and of a search its trials
    assert shown.count("<polyline") == 3 + 3 + 3 * 4 + (2 if method == "optuna" else 0)


def test_a_ladder_is_shown(tmp_path: Path) -> None:
    shown, console = browse(write_ladder_report(a_ladder(tmp_path)), "--dump-dom")
    assert console == []
    assert shown.count("<polyline") == 5 + 8 * 6
