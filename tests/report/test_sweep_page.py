from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.report.sweep_page import sweep_page, write_sweep_report
from tests.report.sweeps import a_sweep
from tests.report.test_audit_page import Balance
from tests.report.test_run_page import words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_sweep(tmp_path_factory.mktemp("grid"), [1.75, 1.5, 2.0])


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return sweep_page(folder, folder)


def test_the_page_is_well_formed_and_nothing_in_it_acts(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert "<script>alert" not in page
    assert not re.search(r"<link|<img|<iframe|@import|url\(|https?://", page)


def test_runs_stand_by_rank_with_what_they_were_predicted_to_cost_and_did(page: str, folder: Path) -> None:
    shown = words(page)
    rows = json.loads((folder / "sweep.json").read_text())["runs"]
    assert [row["number"] for row in rows] == [2, 1, 3, 4]
    # predicted GPU-hours 1.5; 90 s of one device; $3 for 1.5 hours
    for row in rows[:3]:
        differs, value = row["differs"]["train.learning_rate"], row["value"]
        assert f"{row['rank']} {row['number']} {differs} {value:.4f} 1.5 0.025 $3.00 $0.05 done" in shown
    assert "9 infeasible does not fit" in shown
    assert "4 runs over train.learning_rate, ranked by held out bits per byte: lower is better." in shown
    assert "The best is run 2, train.learning_rate=0.002: 1.5000." in shown
    assert "From it to the next, run 1: held-out text, 1 document in common: 1.5000 to 1.7500" in shown
    assert "train.learning_rate 0.002 0.001 0.003" in shown  # what was set otherwise, the best first


def test_it_leads_to_the_pages_of_its_runs(page: str, folder: Path) -> None:
    best = json.loads((folder / "sweep.json").read_text())["runs"][0]["run"]
    assert f'<a href="../../runs/{best}/report.html">2</a>' in page
    assert (folder / "../../runs" / best / "plan.json").is_file()


def test_all_runs_have_a_curve_and_the_best_a_color(tmp_path: Path) -> None:
    bits = [2.0 + number / 100 for number in range(9)]
    folder = a_sweep(tmp_path, bits)
    page = sweep_page(folder, folder)
    loss = re.findall(r'<b>loss <span>.*?<div class="plot".*?</svg></svg>', page, re.DOTALL)
    assert len(loss) == 1
    assert loss[0].count("<polyline") == 9
    assert loss[0].count('class="curve background"') == 1
    read = [json.loads(unescape(one)) for one in re.findall(r'data-points="([^"]*)"', loss[0])]
    assert len(read) == 8
    assert read[0][0] == [1, 2, 3, 4, 5, 6]
    assert "<title>run 9</title>" in loss[0]


def test_a_search_shows_its_trials_in_order_and_which_ended_early(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path, [1.75, 2.0, 1.5], "optuna", pruned=1)
    page = sweep_page(folder, folder)
    read = [json.loads(unescape(one)) for one in re.findall(r'data-points="([^"]*)"', page)]
    assert read[0] == [[1, 2, 3], [1.75, 1.75, 1.5]]
    assert read[1] == [[1, 2, 3], [1.75, 2.0, 1.5]]
    assert "<title>trial 4: at step 2 (train.learning_rate=4)</title>" in page
    assert "<title>trial 5: does not fit (train.learning_rate=9)</title>" in page
    assert "pruned at step 2" in words(page)


def test_a_sweep_whose_runs_are_gone_still_has_its_table(tmp_path: Path) -> None:
    folder = a_sweep(tmp_path, [1.75])
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    shown = words(write_sweep_report(folder).read_text())
    assert "The best is run 1" in shown
    assert "Training" not in shown


def test_a_record_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(SpecError, match=r"sweep.json: cannot be read \(.*\): name the folder of a sweep"):
        write_sweep_report(tmp_path)
