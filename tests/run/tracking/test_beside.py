"""Trackers that are told beside a run, each by a real process."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.engine.events import append_event
from forge.errors import SpecError
from forge.progress import Progress
from forge.run import stages
from forge.run.display import LineDisplay
from forge.run.run import run_folder, run_plan
from forge.run.stages import Workplace
from forge.run.tracking import beside
from forge.run.tracking.beside import check_trackers, record_tracking
from tests.plan.specs import compiled
from tests.run.small import OVERRIDES
from tests.summaries import SUMMARIES

NOBODY: dict[str, Any] = {"to": [], "mlflow_uri": None, "wandb_online": False, "prometheus_file": None}
PLAN = compiled("recipe=legal_tiny", "hardware=cpu", "data.path=null", "tokenizer.path=null")


class Said(LineDisplay):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def detail(self, text: str) -> None:
        pass


def work(name: str) -> Callable[[Workplace, Path, Progress], dict[str, Any]]:
    def do(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
        if name == "train":
            append_event(place.run_dir / "events.jsonl", "step", step=1, loss=2.5, mfu=None, loss_scale=None)
        (out / name).write_text(name)
        return SUMMARIES[name]

    return do


@pytest.fixture(autouse=True)
def quick_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SUMMARIES:
        monkeypatch.setitem(stages.WORK, name, work(name))


def carry_out(folder: Path, **track: Any) -> list[str]:
    """Carry out a run that tells `track`, and return what is said besides its stages."""
    record_tracking(run_folder(PLAN, folder), NOBODY | track)
    said = Said()
    run_plan(PLAN, folder, said)
    return [line for line in said.lines if line.split()[0] not in SUMMARIES]


def test_a_run_tells_its_trackers_by_itself_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "metrics.prom"
    assert carry_out(tmp_path, to=["prometheus"], prometheus_file=str(file)) == []
    written = file.read_text()
    assert f'forge_loss{{run="{PLAN.name}",plan="{PLAN.id}"}} 2.5' in written
    assert "forge_final_held_out_bits_per_byte" in written
    assert f'forge_finished{{run="{PLAN.name}",plan="{PLAN.id}"}} 1.0' in written


def test_a_tracker_that_is_down_is_one_line_and_the_run_is_done(tmp_path: Path) -> None:
    nowhere = tmp_path / "gone" / "metrics.prom"
    (line,) = carry_out(tmp_path, to=["prometheus"], prometheus_file=str(nowhere))
    run_dir = run_folder(PLAN, tmp_path)
    assert line.startswith(
        f"track: prometheus: command line: --prometheus-file: {nowhere.parent}: is no folder"
    )
    assert line.endswith(f"the run goes on, `forge track {run_dir} --to prometheus` adds what is missing")
    assert (run_dir / "summary.json").is_file()


def test_a_slow_tracker_is_told_on_and_the_run_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "PATIENCE_S", 0.0)
    file = tmp_path / "metrics.prom"
    (line,) = carry_out(tmp_path, to=["prometheus"], prometheus_file=str(file))
    log = run_folder(PLAN, tmp_path) / "logs" / "track-prometheus.log"
    assert line == f"track: prometheus: is slow, and is still being told: see {log}"
    while not (file.exists() and "forge_finished" in file.read_text()):
        time.sleep(0.05)


def test_who_is_told_no_more_is_not_told(tmp_path: Path) -> None:
    record_tracking(run_folder(PLAN, tmp_path), NOBODY | {"to": ["prometheus"]})
    assert carry_out(tmp_path) == []
    assert not (run_folder(PLAN, tmp_path) / "metrics.prom").exists()


def test_what_cannot_be_told_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError) as caught:
        check_trackers(
            NOBODY | {"to": ["wandb", "prometheus"], "prometheus_file": str(tmp_path / "none" / "x.prom")}
        )
    assert caught.value.lines == (
        "track.to: wandb is not installed: pip install 'forge-run[wandb]', or leave it out",
        f"track.prometheus_file: {tmp_path / 'none'}: is no folder: make it first",
    )
    check_trackers(NOBODY | {"to": ["prometheus"]})


def test_who_is_told_is_no_part_of_a_plan() -> None:
    usual = ["recipe=legal_tiny", "hardware=cpu", "data.path=null", *OVERRIDES]
    told = compiled(*usual, "track=mlflow", "track.mlflow_uri=https://tracker.example")
    assert told == compiled(*usual)
    assert [stage.key for stage in told.stages] == [stage.key for stage in compiled(*usual).stages]
    assert "track" not in told.spec


def test_mlflow_is_told_beside_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    from mlflow.tracking import MlflowClient

    from forge.run.tracking import mlflow_tracker  # noqa: F401  (MLflow's file store wants a word in the environment)

    monkeypatch.setattr(beside, "PATIENCE_S", 120.0)
    assert carry_out(tmp_path, to=["mlflow"]) == []
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name(PLAN.name).experiment_id])
    assert run.data.metrics["loss"] == 2.5
    assert run.info.status == "FINISHED"


def test_an_address_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(beside, "PATIENCE_S", 120.0)
    (line,) = carry_out(tmp_path, to=["mlflow"], mlflow_uri="http://127.0.0.1:9")
    assert line.startswith("track: mlflow: ")
    assert (run_folder(PLAN, tmp_path) / "summary.json").is_file()
