"""The order of stages and what becomes of failures, with stages that do next to nothing."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forge.engine.events import read_events
from forge.errors import Interrupted, StageError
from forge.export import llama_server
from forge.locks import take_lock
from forge.plan.types import Plan, load_plan, plan_id
from forge.progress import Progress, SilentProgress
from forge.run import stages
from forge.run.display import LineDisplay
from forge.run.export_run import export_run
from forge.run.run import FinishedRun, run_folder, run_plan
from forge.run.stages import Workplace
from tests.events import EVENT_VALIDATOR
from tests.factories import tiny_plan
from tests.summaries import SUMMARIES

PLAN = tiny_plan()
done: list[str] = []


def work(name: str) -> Callable[[Workplace, Path, Progress], dict[str, Any]]:
    def do(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
        for needed in place.plan.stage(name).inputs:
            assert (place.artifacts[needed] / needed).is_file()
        (out / name).write_text(name)
        done.append(name)
        progress.start(1, "things")
        progress.advance()
        return SUMMARIES[name]

    return do


@pytest.fixture(autouse=True)
def quick_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    done.clear()
    monkeypatch.setattr(stages, "WORK", stages.WORK)
    for name in SUMMARIES:
        monkeypatch.setitem(stages.WORK, name, work(name))


def carry_out(folder: Path, stream: io.StringIO | None = None) -> FinishedRun:
    return run_plan(PLAN, folder, LineDisplay(stream or io.StringIO(), quiet=False))


def break_stage(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def fail(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
        (out / "half").write_text("x")
        raise error

    monkeypatch.setitem(stages.WORK, name, fail)


def events(folder: Path) -> list[tuple[str, str]]:
    found, _ = read_events(run_folder(PLAN, folder) / "events.jsonl")
    for event in found:
        EVENT_VALIDATOR.validate(event)
    return [(event["event"], event["stage"]) for event in found]


def test_all_stages_are_carried_out_in_order_and_then_never_again(tmp_path: Path) -> None:
    said = io.StringIO()
    first = carry_out(tmp_path, said)
    assert done == list(SUMMARIES) == list(first.made)
    assert load_plan(first.folder / "plan.json") == PLAN
    assert [line.split()[0] for line in said.getvalue().splitlines()] == list(SUMMARIES)
    assert "1.750 bits per byte on 1 document, 1 of 10 training passages recited\n" in said.getvalue()
    assert events(tmp_path)[:2] == [("stage_start", "lake"), ("stage_end", "lake")]
    assert (first.folder / "export" / "export").read_text() == "export"
    written = json.loads((first.folder / "summary.json").read_text())
    assert written == first.summary
    assert written["predicted_and_measured"]["step_time_s"] == [0.0, 0.25]

    second = carry_out(tmp_path, said)
    assert done == list(SUMMARIES)
    assert second.made == ()
    assert second.summary == first.summary


def test_a_proof_that_cannot_run_is_said_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(PLAN.stage("export"), parameters=PLAN.stage("export").parameters | {"formats": ["gguf"]})
    plan = replace(PLAN, stages=(*PLAN.stages[:-1], asked))
    monkeypatch.setattr(llama_server, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(StageError, match=r"^export\.formats: gguf: .*pip install 'forge-run\[verify\]'"):
        run_plan(plan, tmp_path, LineDisplay(io.StringIO(), quiet=False))
    assert done == []


def test_a_users_mistake_keeps_its_line_and_what_was_done_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_stage(monkeypatch, "tokenizer", StageError("tokenizer.vocab_size: too large: set it lower"))
    with pytest.raises(StageError, match=r"^tokenizer.vocab_size: too large: set it lower$"):
        carry_out(tmp_path)
    assert events(tmp_path)[-1] == ("stage_failed", "tokenizer")
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "artifacts").iterdir()) == [
        "corpus",
        "lake",
    ]
    monkeypatch.setitem(stages.WORK, "tokenizer", work("tokenizer"))
    assert carry_out(tmp_path).made == ("tokenizer", "tokens", "train", "evaluate", "export")
    assert done == list(SUMMARIES)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_stage(monkeypatch, "corpus", OSError(errno.ENOSPC, "No space left on device", "/x/corpus.parquet"))
    with pytest.raises(StageError) as caught:
        carry_out(tmp_path)
    assert caught.value.lines == (
        "corpus: /x/corpus.parquet: cannot be written (No space left on device): free some space; "
        "the same command goes on",
    )


def test_a_bug_keeps_its_traceback_and_says_where_it_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_stage(monkeypatch, "corpus", ZeroDivisionError("oops"))
    with pytest.raises(ZeroDivisionError) as caught:
        carry_out(tmp_path)
    log = run_folder(PLAN, tmp_path) / "logs" / "corpus.log"
    assert caught.value.__notes__ == [f"corpus: a fault in forge; it is also in {log}"]
    assert "ZeroDivisionError: oops" in log.read_text()


def test_out_of_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_stage(monkeypatch, "corpus", MemoryError())
    with pytest.raises(StageError, match="corpus: this machine's memory is not enough"):
        carry_out(tmp_path)


class Terminated(KeyboardInterrupt):
    """What the command line makes of SIGTERM."""


@pytest.mark.parametrize(("interrupt", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: BaseException, status: int
) -> None:
    break_stage(monkeypatch, "tokens", interrupt)
    with pytest.raises(Interrupted, match=r"tokens: stopped; .*the same command goes on") as caught:
        carry_out(tmp_path)
    assert caught.value.exit_code == status
    assert events(tmp_path)[-1] == ("stage_interrupted", "tokens")


def test_a_run_is_carried_out_by_one_at_a_time(tmp_path: Path) -> None:
    run_dir = run_folder(PLAN, tmp_path)
    run_dir.mkdir(parents=True)
    with (
        take_lock(run_dir / "run.lock", 0),
        pytest.raises(StageError, match="is being carried out by another forge-run"),
    ):
        carry_out(tmp_path)
    assert done == []


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StageError, match=r"^run: .*file.*: cannot be written \(Not a directory\)"):
        carry_out(tmp_path / "file")


def test_a_full_disk_that_names_no_file_is_said_to_be_that_of_the_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_stage(monkeypatch, "corpus", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StageError) as caught:
        carry_out(tmp_path)
    assert caught.value.lines == (
        f"corpus: {tmp_path}: cannot be written (No space left on device): free some space; "
        "the same command goes on",
    )


def test_an_output_folder_that_is_none_is_said_to_be_set_elsewhere() -> None:
    with pytest.raises(StageError) as caught:
        carry_out(Path("/proc/foo"))
    assert caught.value.lines == (
        "run: /proc/foo: cannot be written (No such file or directory): "
        "set output_dir to a folder you may write to",
    )


def test_a_given_tokenizer_that_no_export_can_express_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    given = {"model": {"type": "BPE", "vocab": {}}, "normalizer": {"type": "NFC"}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(given))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    asked: dict[str, dict[str, Any]] = {
        "tokenizer": {"path": str(tmp_path)},
        "export": {"formats": ["hf", "gguf"]},
    }
    taken = [replace(stage, parameters=stage.parameters | asked.get(stage.name, {})) for stage in PLAN.stages]
    with pytest.raises(StageError, match="normalizer"):
        run_plan(
            replace(PLAN, stages=tuple(taken)), tmp_path / "out", LineDisplay(io.StringIO(), quiet=False)
        )
    assert done == []


def test_a_given_folder_that_is_no_tokenizer_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    asked = {"tokenizer": {"path": str(tmp_path)}}
    taken = [replace(stage, parameters=stage.parameters | asked.get(stage.name, {})) for stage in PLAN.stages]
    plan = replace(PLAN, stages=tuple(taken))
    with pytest.raises(StageError, match=r"tokenizer.path: .*: has no tokenizer.json: name the folder"):
        run_plan(plan, tmp_path / "out", LineDisplay(io.StringIO(), quiet=False))
    assert done == []


def gated(bits_per_byte: float) -> Plan:
    plan = replace(PLAN, spec={"evaluate": {"gates": {"max_held_out_bits_per_byte": bits_per_byte}}})
    return replace(plan, id=plan_id(plan))


GATED = gated(1.0)


def test_a_broken_gate_ends_the_run_before_its_export(tmp_path: Path) -> None:
    for _ in range(2):  # the second finds the evaluation done, and the gate as broken
        with pytest.raises(StageError) as caught:
            run_plan(GATED, tmp_path, LineDisplay(io.StringIO(), quiet=False))
        assert caught.value.exit_code == 4
        assert caught.value.lines == (
            "evaluate.gates.max_held_out_bits_per_byte: 1.75 is above 1: "
            "nothing is exported: train better, or move the gate",
        )
    assert done == list(SUMMARIES)[:-1]
    found_events, _ = read_events(run_folder(GATED, tmp_path) / "events.jsonl")
    for event in found_events:
        EVENT_VALIDATOR.validate(event)
    assert [event["event"] for event in found_events[-2:]] == ["stage_failed", "stage_failed"]
    assert not list((tmp_path / "artifacts").glob("export-*"))
    with pytest.raises(StageError, match=r"max_held_out_bits_per_byte: 1\.75 is above 1"):
        export_run(run_folder(GATED, tmp_path), ["hf"], SilentProgress())

    assert run_plan(gated(2.5), tmp_path, LineDisplay(io.StringIO(), quiet=False)).made == ("export",)


def test_who_asks_for_more_is_told_keys_places_and_what_was_done_before(tmp_path: Path) -> None:
    def told() -> list[str]:
        said = io.StringIO()
        run_plan(PLAN, tmp_path, LineDisplay(said, quiet=False, verbose=True))
        return said.getvalue().splitlines()

    root, folder = tmp_path / "artifacts", run_folder(PLAN, tmp_path)
    keys = {stage.name: stage.key for stage in PLAN.stages}
    first, second = told(), told()
    assert first[0] == second[0] == f"run folder {folder}: plan.json, events.jsonl, logs/"
    assert (
        f"corpus: makes {root}/corpus-{keys['corpus']} of lake-{keys['lake']}: key {keys['corpus']}" in first
    )
    assert second[1:] == [
        f"{name}: done before, {root}/{name}-{key}: key {key}" for name, key in keys.items()
    ]


def test_drift_that_was_accepted_is_an_event_of_the_schema(tmp_path: Path) -> None:
    run_plan(PLAN, tmp_path, LineDisplay(io.StringIO(), quiet=False), accepted_drift=("the code changed",))
    events, _ = read_events(run_folder(PLAN, tmp_path) / "events.jsonl")
    (accepted,) = [event for event in events if event["event"] == "drift_accepted"]
    EVENT_VALIDATOR.validate(accepted)
    assert accepted["lines"] == ["the code changed"]
