"""`forge-run -m`: compiled for real, carried out by processes that do next to nothing."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from forge.cli.run_command import run
from forge.cli.sweep_plan import plan_sweep
from forge.cli.sweeping import _varying, sweep
from forge.errors import FitError, SpecError, StageError
from forge.locks import take_lock
from forge.run.display import LineDisplay
from forge.spec.schema import validator
from tests.data.builders import prose, write_folder
from tests.run.small import OVERRIDES
from tests.run.sweep.quick import make_quick

TWO = "train.learning_rate=3e-3,1e-3"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_quick(monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    write_folder(tmp_path / "documents", {f"{seed}.txt": prose(seed, 80) for seed in range(3)})


def forge_run_m(tmp_path: Path, *more: str) -> list[str]:
    """Carry out a sweep and return what it says."""
    stream = io.StringIO()
    where = [f"data.path={tmp_path / 'documents'}", f"output_dir={tmp_path}"]
    usual = [] if any(each.startswith("hardware=") for each in more) else OVERRIDES
    sweep([*where, *usual, *more], LineDisplay(stream, quiet=False), quiet=False)
    return stream.getvalue().splitlines()


def record(tmp_path: Path) -> dict[str, Any]:
    (file,) = (tmp_path / "sweeps").glob("*/sweep.json")
    content: dict[str, Any] = json.loads(file.read_text())
    validator("sweep_record").validate(content)
    return content


def refused(tmp_path: Path, kind: type[Exception], *more: str) -> tuple[str, ...]:
    """Return the lines of a sweep that starts nothing."""
    with pytest.raises(kind) as caught:
        forge_run_m(tmp_path, *more)
    assert not (tmp_path / "runs").exists()
    lines: tuple[str, ...] = caught.value.lines  # type: ignore[attr-defined]
    return lines


def test_runs_are_ranked_and_the_same_command_starts_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = forge_run_m(tmp_path, TWO)
    name = next((tmp_path / "sweeps").glob("small-*")).name
    assert said[0].startswith(f"sweep {name}: 2 runs; predicted: ")
    shown = capsys.readouterr().out
    assert shown.splitlines()[1] == f"{name}: held_out_bits_per_byte, lower is better"
    assert shown.splitlines()[2].split() == ["rank", "run", "learning_rate", "value", "training", "status"]
    assert [line.split()[:4] for line in shown.splitlines()[3:5]] == [
        ["1", "2", "0.001", "1.1000"],
        ["2", "1", "0.003", "1.3000"],
    ]
    page = (tmp_path / "sweeps" / name / "report.html").read_text()
    assert "The best is run 2, train.learning_rate=0.001: 1.1000." in page
    first = record(tmp_path)
    assert first["keys"] == ["train.learning_rate"]
    assert [row["differs"] for row in first["runs"]] == [
        {"train.learning_rate": "0.001"},
        {"train.learning_rate": "0.003"},
    ]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    again = forge_run_m(tmp_path, TWO)
    assert [line.partition(";")[0] for line in again] == [f"sweep {name}: 2 runs, 2 done before"]
    assert capsys.readouterr().out == shown
    assert record(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in before} == before

    more = forge_run_m(tmp_path, f"{TWO},2e-3")
    assert [line.split(":")[0] for line in more[1:]] == ["run 3 (train.learning_rate=0.002)"] * 2


def test_what_is_done_is_not_sent_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho Submitted batch job 7\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=":")
    forge_run_m(tmp_path, TWO)
    shown = capsys.readouterr().out
    said = forge_run_m(tmp_path, TWO, "launch=slurm")
    assert ["2 done before" in line for line in said] == [True]
    assert capsys.readouterr().out == shown
    said = forge_run_m(tmp_path, f"{TWO},2e-3,0.002", "launch=slurm")
    assert said[0] == "3 runs, 2 done before"
    assert "Submitted batch job 7" in said
    (script,) = tmp_path.glob("**/slurm.sh")
    assert "--array" not in script.read_text()
    assert not (script.parent / "summary.json").exists()


def test_a_bad_point_starts_nothing(tmp_path: Path) -> None:
    assert refused(tmp_path, SpecError, TWO, "train.sequence_length=32,100", "train.steps=1,0") == (
        "command line: train.steps: 0 steps is below the least allowed, 1",
        "command line: train.global_batch_tokens: global_batch_tokens 256 is not a multiple of sequence_length 100: "
        "use 200 or 300",
    )


def test_one_run_is_no_sweep(tmp_path: Path) -> None:
    assert refused(tmp_path, SpecError, "train.learning_rate=1e-3") == (
        "command line: -m: no key has several values: name some, as train.learning_rate=1e-3,3e-4, or drop -m",
    )


def test_a_sweep_is_planned_without_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates = (
        "+recipe=legal_7b",
        "hardware=8xh100",
        f"output_dir={tmp_path / 'out'}",
        "model=llama_3b,llama_7b",
    )
    plan_sweep([*rates, "seed=1,1"], LineDisplay(io.StringIO(), quiet=True))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == [
        "run",
        "model",
        "seed",
        "plan",
        "parameters",
        "tokens",
        "time",
        "GPU-hours",
        "cost",
    ]
    # Those that are the same are one run.
    assert [line.split()[:3] for line in shown[1:3]] == [["1", "llama_3b", "1"], ["3", "llama_7b", "1"]]
    hours = [float(line.split()[-2].replace(",", "")) for line in shown[1:3]]
    assert re.match(r"2 runs: .* of training in all, ([\d,]+) GPU-hours, \$[\d,]+ \(± \d+%\)$", shown[4])
    assert float(shown[4].split(", ")[1].split()[0].replace(",", "")) == pytest.approx(sum(hours), abs=2)
    assert not (tmp_path / "out").exists()
    with pytest.raises(FitError, match=r"sweep.budget_gpu_hours: 2 runs are predicted to need"):
        plan_sweep([*rates, "sweep.budget_gpu_hours=2"], LineDisplay(io.StringIO(), quiet=True))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (("seed=1,0x",), "command line: seed: '0x' is not a whole number"),
        ((), "command line: -m: no key has several values"),
        (("sweep=ladder",), "command line: --multirun: a ladder is planned as one run: drop it"),
        (
            ("sweep.method=optuna", "seed=1,2"),
            "command line: --multirun: a search chooses its runs as it goes",
        ),
    ],
)
def test_what_is_no_grid_is_not_planned(more: tuple[str, ...], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan_sweep(["+recipe=legal_7b", "hardware=8xh100", *more], LineDisplay(io.StringIO(), quiet=True))
    assert caught.value.lines[0].startswith(line)


def test_equal_plans_are_said_and_run_once(tmp_path: Path) -> None:
    said = forge_run_m(tmp_path, "train.learning_rate=1e-3,0.001")
    assert said[0] == "run 2 (train.learning_rate=0.001): is the same as run 1: carried out once"
    assert ": 1 run; predicted" in said[1]
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert [row["status"] for row in record(tmp_path)["runs"]] == ["done", "done"]


def test_a_run_that_fails_is_named_with_its_log_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUICK_FAILS", "2")
    with pytest.raises(StageError) as caught:
        forge_run_m(tmp_path, "seed=1,2,3")
    failed = next(row for row in record(tmp_path)["runs"] if row["status"] == "failed")
    assert caught.value.exit_code == 4
    assert caught.value.lines == (
        "run 2 (seed=2): failed: train: it does not learn: use another seed; "
        f"log {tmp_path}/runs/{failed['run']}/logs/run.log",
        "sweep: the other runs are done: the same command tries these again",
    )
    assert [row["status"] for row in record(tmp_path)["runs"]] == ["done", "done", "failed"]
    monkeypatch.delenv("QUICK_FAILS")
    said = forge_run_m(tmp_path, "seed=1,2,3")
    assert [line.partition(":")[0] for line in said[1:]] == ["run 2 (seed=2)"] * 2


def test_a_budget_refuses_a_sweep_beyond_it(tmp_path: Path) -> None:
    gpus = ("hardware=1xh100", "train.tokens=10_000_000_000")
    budget, machine = refused(tmp_path, FitError, TWO, *gpus, "sweep.budget_gpu_hours=2")
    assert budget.startswith("sweep.budget_gpu_hours: 2 runs are predicted to need ")
    assert " GPU-hours, and 2 are allowed: run fewer, make them shorter (train.tokens), or allow " in budget
    assert machine.startswith("hardware=1xh100: needs 1 h100-sxm-80gb a node, this machine has no GPU")
    (line,) = refused(tmp_path, FitError, TWO, *gpus, "sweep.budget_gpu_hours=1e9")
    assert line == machine


def test_what_a_sweep_says_of_itself_does_not_change_its_runs(tmp_path: Path) -> None:
    forge_run_m(tmp_path, TWO, "sweep.parallel_runs=2")
    said = forge_run_m(tmp_path, TWO, "sweep.metric=final_loss", "sweep.budget_gpu_hours=1")
    assert "2 done before" in said[0]
    assert {
        json.loads(file.read_text())["metric"] for file in (tmp_path / "sweeps").glob("*/sweep.json")
    } == {
        "held_out_bits_per_byte",
        "final_loss",
    }


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            ["sweep.metric=final_loss,recited_fraction"],
            "command line: sweep.metric: is that of the whole sweep: give it one value",
        ),
        (["output_dir=/a,/b"], "command line: output_dir: is that of the whole sweep: give it one value"),
        (
            ["train.learning_rate=interval(1e-4,1e-2)"],
            "command line: train.learning_rate=interval(1e-4,1e-2): has no end: name the values, write "
            "range(START,STOP,STEP), or search it with sweep.method=optuna",
        ),
        (
            ["sweep.metric=known_exact_fraction", TWO],
            "command line: sweep.metric: known_exact_fraction is about questions, and none are asked: give "
            "evaluate.questions or evaluate.facts",
        ),
    ],
)
def test_what_no_sweep_can_be(tmp_path: Path, more: list[str], line: str) -> None:
    assert refused(tmp_path, SpecError, *more) == (line,)


def test_a_sweep_is_carried_out_by_one_at_a_time(tmp_path: Path) -> None:
    forge_run_m(tmp_path, TWO)
    folder = next((tmp_path / "sweeps").glob("small-*"))
    with (
        take_lock(folder / "sweep.lock", 0),
        pytest.raises(
            StageError, match=r"^.*small-.*: is being carried out by another forge-run: wait for it$"
        ),
    ):
        forge_run_m(tmp_path, TWO)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sweeps").write_text("mine")
    with pytest.raises(
        StageError, match=r"^sweep: .*sweeps.*: cannot be written \(Not a directory\): set output_dir"
    ):
        forge_run_m(tmp_path, TWO)


def test_what_is_about_sweeps_goes_with_m() -> None:
    class Context:
        args = ("sweep.trials=3",)

    with pytest.raises(SpecError) as caught:
        run(Context(), ["+recipe=legal_tiny"])  # type: ignore[arg-type]
    assert caught.value.lines == ("command line: sweep.trials=3: is about a sweep: add -m",)


def test_a_search_without_optuna_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert refused(tmp_path, SpecError, "sweep=optuna", "seed=1,2") == (
        "sweep.method: optuna is not installed: pip install 'forge-run[optuna]', or use sweep.method=grid",
    )


LADDER = (
    *("sweep=ladder", "sweep.share=10", "sweep.rungs=3", "train.parametrization=mup", "train.steps=null"),
    *("train.mup_base_hidden_size=32", "train.learning_rate=2e-3", "train.tokens=8000000"),
    *(
        "train.global_batch_tokens=4096",
        "model.attention_heads=8",
        "model.kv_heads=4",
        "model.hidden_size=64",
    ),
)


def test_a_ladder_is_climbed_and_the_same_command_trains_none_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = forge_run_m(tmp_path, *LADDER)
    (file,) = (tmp_path / "ladders").glob("*/ladder.json")
    assert said[-1] == f"written to {file}; report: {file.parent / 'report.html'}"
    assert "Loss over compute" in (file.parent / "report.html").read_text()
    assert [line.partition(": ")[2].partition(";")[0] for line in said if line.startswith("sweep ")] == [
        "6 runs",
        "1 run",
    ]
    assert {
        folder.name.rpartition("-")[0] for folder in (tmp_path / "sweeps").iterdir() if folder.name != "slots"
    } == {"small-ladder"}
    kept = json.loads(file.read_text())
    assert len(kept["runs"]) == len(list((tmp_path / "runs").iterdir())) == 7
    tokens = [rung["tokens"] for rung in kept["ladder"]["rungs"]]
    # What the quick runs lose, each in its place.
    assert kept["outcome"]["losses_nats"] == pytest.approx(
        [2 + 3 * (each / 1e5) ** -0.3 for each in tokens], abs=0.01
    )
    assert kept["outcome"]["rate_factor"] == pytest.approx(1, abs=0.1)
    shown = capsys.readouterr().out
    assert "the run, predicted: held-out loss " in shown
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    again = forge_run_m(tmp_path, *LADDER)
    assert [line for line in again if "started" in line] == []
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads(file.read_text()) == kept


def test_a_ladder_is_of_one_run(tmp_path: Path) -> None:
    assert refused(tmp_path, SpecError, *LADDER, "seed=1,2", "tokenizer.vocab_size=320,384") == (
        "command line: seed: a ladder is of one run: give it one value",
        "command line: tokenizer.vocab_size: a ladder is of one run: give it one value",
    )


def test_what_varies_is_what_lines_say_differently_or_only_some_say() -> None:
    lines = [["seed=1", "+a.b=x=1", "c=2"], ["seed=1", "a.b=x=2"]]
    assert _varying(lines) == ["a.b", "c"]


class TestSearch:
    """With optuna."""

    RATES = ("sweep.method=optuna", "train.learning_rate=tag(log,interval(1e-4,1e-1))")

    @pytest.fixture(autouse=True)
    def needs_optuna(self) -> None:
        pytest.importorskip("optuna")

    def test_trials_go_on_where_they_were(self, tmp_path: Path) -> None:
        (tmp_path / "whole").mkdir()
        (tmp_path / "documents").rename(tmp_path / "whole" / "documents")
        said = forge_run_m(tmp_path / "whole", *self.RATES, "sweep.trials=4")
        assert ": 4 runs; predicted: at most " in said[0]
        assert len(said) == 9
        whole = record(tmp_path / "whole")
        assert [row["rank"] for row in whole["runs"]] == [1, 2, 3, 4]
        assert len({row["plan_id"] for row in whole["runs"]}) == 4

        (tmp_path / "parts").mkdir()
        (tmp_path / "whole" / "documents").rename(tmp_path / "parts" / "documents")
        for trials in ("1", "3", "4"):
            forge_run_m(tmp_path / "parts", *self.RATES, f"sweep.trials={trials}")
        parts = record(tmp_path / "parts")
        assert [row["differs"] for row in parts["runs"]] == [row["differs"] for row in whole["runs"]]
        again = forge_run_m(tmp_path / "parts", *self.RATES, "sweep.trials=4")
        assert len(again) == 1

    def test_a_trial_that_does_not_compile_is_infeasible(self, tmp_path: Path) -> None:
        widths = "model.hidden_size=int(interval(32,64))"  # odd ones have no whole heads
        said = forge_run_m(tmp_path, "sweep.method=optuna", widths, "sweep.trials=4")
        statuses = [row["status"] for row in record(tmp_path)["runs"]]
        assert "infeasible" in statuses
        row = next(row for row in record(tmp_path)["runs"] if row["status"] == "infeasible")
        assert row["run"] is None
        assert "model.hidden_size" in row["lines"][0] or "attention_heads" in row["lines"][0]
        assert any(" does not compile: " in line for line in said)

    @pytest.mark.parametrize(
        ("more", "line"),
        [
            (
                ["sweep.method=optuna"],
                "command line: sweep.method: optuna searches values and none are named: give a key several, as "
                "train.learning_rate=tag(log,interval(1e-4,1e-2))",
            ),
            (
                ["sweep=optuna", "seed=1,2", "sweep.halving_factor=3"],
                "command line: sweep.halving_factor: nothing is measured while training: set "
                "train.evaluate_every_steps, or sweep.halving_factor=null",
            ),
            (
                [
                    *("sweep=optuna", "sweep.halving_factor=3"),
                    *("tokenizer.vocab_size=300,320", "train.evaluate_every_steps=10"),
                ],
                "command line: sweep.halving_factor: with tokenizer.vocab_size a token is another in each run, and "
                "so is its loss: use sweep.halving_factor=null",
            ),
            (
                ["sweep=optuna", "train.learning_rate=interval(-1,1)"],
                "command line: train.learning_rate: -1 must be above 0 (over conf/train/pretrain.yaml:17)",
            ),
        ],
    )
    def test_what_cannot_be_searched(self, tmp_path: Path, more: list[str], line: str) -> None:
        assert refused(tmp_path, SpecError, *more) == (line,)
