from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.report.ladder_page import ladder_page, write_ladder_report
from forge.run.scaling_law import BAND_POINTS
from tests.report.sweeps import a_ladder
from tests.report.test_audit_page import Balance
from tests.report.test_run_page import words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_ladder(tmp_path_factory.mktemp("ladder"))


def test_the_curve_its_interval_and_the_run_are_those_of_the_record(folder: Path) -> None:
    page = ladder_page(folder)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    kept = json.loads((folder / "ladder.json").read_text())
    prediction = kept["outcome"]["prediction"]
    low, high, curve, rungs, run = (
        json.loads(unescape(one)) for one in re.findall(r'data-points="([^"]*)"', page)[:5]
    )
    assert len(curve[0]) == BAND_POINTS
    flops = [rung["compute_flops"] for rung in kept["ladder"]["rungs"]]
    assert curve[0][0] == rungs[0][0] == flops[0]
    for drawn, name in ((low, "low_nats"), (high, "high_nats"), (curve, "loss_nats"), (run, "loss_nats")):
        assert drawn[1][-1] == pytest.approx(prediction[name], rel=1e-5)
    assert run[0] == [kept["ladder"]["run_compute_flops"]]
    assert rungs[1] == pytest.approx(kept["outcome"]["losses_nats"], rel=1e-5)
    shown = words(page)
    assert (
        f"{prediction['loss_nats']:.3f} nats a held-out token, 90% between {prediction['low_nats']:.3f} and "
        f"{prediction['high_nats']:.3f}"
    ) in shown
    assert "8 runs" in shown
    assert ">FLOPs 1e17<" in page


def test_all_its_runs_have_curves(folder: Path) -> None:
    page = ladder_page(folder)
    assert "rung 4, rate × 1.3" in page
    assert page.count('class="curve background"') == 0


def test_a_record_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ladder.json").write_text("[")
    with pytest.raises(SpecError, match=r"ladder.json: cannot be read \(.*\): name the folder of a ladder"):
        write_ladder_report(tmp_path)
