"""Each event reaches a tracker once, however often the following stops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import forge
from forge.engine.events import append_event
from forge.errors import SpecError
from forge.files import replace_text
from forge.locks import is_held, take_lock
from forge.plan.types import Plan
from forge.run.run import RUN_LOCK
from forge.run.tracking.follow import follow, tracked_run
from forge.run.tracking.tracker import Destinations, find_tracker


@dataclass
class Recording:
    """Keeps what it is told."""

    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)
    flushed: int = 0

    def log(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        self.logged.append((step, dict(values)))

    def flush(self) -> None:
        self.flushed = len(self.logged)

    def close(self, finished: bool) -> None:
        self.closed.append(finished)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return forge.compile_plan(
        forge.compose("recipe=legal_tiny", "hardware=cpu", "data.path=/secret/folder", "tokenizer.path=null")
    )


@pytest.fixture
def run_dir(tmp_path: Path, plan: Plan) -> Path:
    folder = tmp_path / "runs" / f"{plan.name}-{plan.id}"
    folder.mkdir(parents=True)
    return folder


def write_step(run_dir: Path, step: int) -> None:
    append_event(run_dir / "events.jsonl", "step", step=step, loss=1.0 / step, mfu=None, loss_scale=None)


def write_summary(run_dir: Path) -> None:
    summary = {"evaluation": {"held_out_bits_per_byte": 1.5, "samples": []}, "training": {"steps": 3}}
    replace_text(run_dir / "summary.json", json.dumps(summary))


def test_a_second_call_adds_only_what_is_new(run_dir: Path, plan: Plan) -> None:
    append_event(run_dir / "events.jsonl", "stage_start", stage="train", key="0")
    write_step(run_dir, 1)
    tracked, first, second, third = tracked_run(plan, run_dir, "x"), Recording(), Recording(), Recording()
    assert follow(run_dir, tracked, first) == 1
    assert first.logged == [(1, {"loss": 1.0})]
    assert first.closed == [False]
    write_step(run_dir, 2)
    write_summary(run_dir)
    assert follow(run_dir, tracked, second) == 1
    assert second.logged == [(2, {"loss": 0.5}), (3, {"final_held_out_bits_per_byte": 1.5})]
    assert second.closed == [True]
    assert follow(run_dir, tracked, third) == 0
    assert third.logged == []


def test_a_run_that_goes_on_is_followed_to_its_end(run_dir: Path, plan: Plan) -> None:
    told = Recording()
    lock = take_lock(run_dir / RUN_LOCK, patience_s=0)
    assert is_held(run_dir / RUN_LOCK)
    following = threading.Thread(target=follow, args=(run_dir, tracked_run(plan, run_dir, "x"), told))
    following.start()
    write_step(run_dir, 1)
    while not told.logged:
        time.sleep(0.05)
    write_step(run_dir, 2)
    write_summary(run_dir)
    lock.close()
    following.join(timeout=60)
    assert not following.is_alive()
    assert [step for step, _ in told.logged] == [1, 2, 3]
    assert told.closed == [True]


def test_settings_name_neither_paths_nor_documents(run_dir: Path, plan: Plan) -> None:
    settings = tracked_run(plan, run_dir, "x").settings
    assert settings["train.learning_rate"] == plan.spec["train"]["learning_rate"]
    assert settings["plan"] == plan.id
    assert "secret" not in json.dumps(settings)
    assert not [key for key in settings if key.startswith("data.") or key.endswith("path")]


def test_an_unknown_tracker_is_one_line_and_makes_nothing(run_dir: Path) -> None:
    with pytest.raises(SpecError, match=r"no such tracker: there are mlflow, wandb, prometheus"):
        find_tracker("../../elsewhere")
    assert list(run_dir.iterdir()) == []


def test_the_newest_values_are_a_file_for_prometheus(run_dir: Path, plan: Plan) -> None:
    for step in (1, 2):
        write_step(run_dir, step)
    write_summary(run_dir)
    tracked = tracked_run(plan, run_dir, "prometheus")
    follow(run_dir, tracked, find_tracker("prometheus")(tracked, Destinations()))
    lines = (run_dir / "metrics.prom").read_text().splitlines()
    label = f'{{run="{plan.name}",plan="{plan.id}"}}'
    assert f"forge_loss{label} 0.5" in lines
    assert f"forge_finished{label} 1.0" in lines
    assert "# TYPE forge_loss gauge" in lines
    # One sample a name, as the format wants it.
    names = [line.partition("{")[0] for line in lines if not line.startswith("#")]
    assert sorted(set(names)) == sorted(names)


def test_mlflow_keeps_a_local_folder(run_dir: Path, plan: Plan) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    from mlflow.tracking import MlflowClient

    write_step(run_dir, 1)
    for _ in range(2):
        tracked = tracked_run(plan, run_dir, "mlflow")
        follow(run_dir, tracked, find_tracker("mlflow")(tracked, Destinations()))
        write_step(run_dir, 2)
    client = MlflowClient((run_dir.parents[1] / "mlruns").as_uri())
    experiment = client.get_experiment_by_name(plan.name)
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 1.0), (2, 0.5)]
    assert run.data.params["train.learning_rate"] == str(plan.spec["train"]["learning_rate"])


def test_wandb_writes_files_only(run_dir: Path, plan: Plan) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    write_step(run_dir, 1)
    tracked = tracked_run(plan, run_dir, "wandb")
    follow(run_dir, tracked, find_tracker("wandb")(tracked, Destinations()))
    (kept,) = (run_dir / "tracking" / "wandb").glob("wandb/offline-run-*/*.wandb")
    assert plan.id in kept.name
