from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from forge.errors import StageError
from forge.report.page import text
from forge.report.record import read_record
from forge.report.run_page import run_page, write_report
from forge.run.measured import predicted_and_measured
from forge.run.origins import record_origins
from tests.report.runs import (
    BEGAN,
    a_plan,
    begin_run,
    finished_run,
    step_event,
    train_start,
    write_events,
)
from tests.report.test_audit_page import Balance
from tests.summaries import HOSTILE, SUMMARIES

SECTIONS = ("stages", "measured", "training", "evaluation", "data", "plan", "export", "provenance")
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def page(finished: Path) -> str:
    return run_page(read_record(finished))


def words(page: str) -> str:
    """Return what a reader sees, in one line."""
    body = re.sub(r"<(script|style)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_it_is_one_well_formed_file_that_fetches_nothing(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert set(SECTIONS) <= balance.ids
    assert balance.targets <= {f"#{key}" for key in balance.ids}
    assert not re.search(r"<link|<img|<iframe|@import|url\(|https?://", page)
    assert page.count("<script>") == 1


def test_what_documents_and_models_say_is_text(page: str) -> None:
    assert "<script>alert" not in page
    assert page.count(text(HOSTILE)) > 5
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_secrets_and_personal_data_of_what_was_left_out_are_not_shown(page: str) -> None:
    assert "jane.roe" not in page
    assert "EMAIL_1" in page


def test_figures_are_those_of_the_summaries(page: str, finished: Path) -> None:
    shown = words(page)
    training, evaluation = SUMMARIES["train"], SUMMARIES["evaluate"]
    assert f"needs {evaluation['held_out_bits_per_byte']:.3f} bits a byte" in shown
    assert f"{training['final_loss']:.3f} final loss from {training['first_loss']:.3f}" in shown
    assert "Of 10 training passages, given 32 tokens, recited word for word for 50: 10% 0-40." in shown
    assert "4 files found" in shown
    assert "binary − 1" in shown
    assert "near duplicate − 1" in shown
    assert "1 to train on, 1 held out" in shown
    # predicted 0.5 s a step, measured 0.25: 100 % too long; memory 8 MiB beside 4.
    assert "step time 0.5 s 0.25 s +100 %" in shown
    assert "peak memory 8.0 MiB 4.0 MiB +100 %" in shown
    # 90 s of one device at 3 dollars for 1.5 hours
    assert "cost $3.00 $0.05 +5900 %" in shown
    assert "a search over these documents answers more than this model" in shown
    pairs = predicted_and_measured(a_plan(), training)
    assert pairs["cost_usd"] == [3.0, pytest.approx(90 / 3600 * 3.0 / 1.5)]


def test_curves_have_the_values_of_the_events(page: str, finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "step"]
    read = re.findall(r"</i>each step <span class=\"at\" data-points=\"([^\"]*)\"", page)
    steps, values = json.loads(read[0])
    assert steps == [1, 2, 3, 4, 5, 6]
    assert values == pytest.approx(losses, rel=1e-5)
    assert "<title>step 6: 2.5</title>" in page  # held out


def test_what_was_considered_and_refused_is_there(page: str) -> None:
    shown = words(page)
    assert "ZeRO-3, micro-batch 1 9.0 MiB 0.7 s 4.2 s $4.50" in shown
    assert "ZeRO-1, micro-batch 64: 99.0 MiB of 16.0 MiB" in shown


def test_every_value_has_its_place(finished: Path, tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan())
    assert "Who set the values was not kept" in run_page(read_record(run_dir))
    chain = [
        {"where": "recipes/mine.yaml:4", "value": 0.003},
        {"where": "conf/train/pretrain.yaml:16", "value": 0.001},
    ]
    record_origins(run_dir, json.dumps({"train.learning_rate": chain}))
    shown = words(run_page(read_record(run_dir)))
    assert "train.learning_rate 0.003 recipes/mine.yaml:4 0.001 in conf/train/pretrain.yaml:16" in shown
    record_origins(run_dir, "{}")  # a later command goes on with the run, and changes nothing
    assert "recipes/mine.yaml:4" in run_page(read_record(run_dir))


def test_the_salt_of_redaction_stays_with_the_plan(tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan(spec={"data": {"redact_salt": "s3cr3t"}}))
    assert "s3cr3t" not in run_page(read_record(run_dir))
    chain = [{"where": "command line", "value": "s3cr3t"}, {"where": "recipes/a.yaml:2", "value": "s3cr3t-2"}]
    record_origins(run_dir, json.dumps({"data.redact_salt": chain}))
    page = run_page(read_record(run_dir))
    assert "s3cr3t" not in page
    assert "(not shown)" in page


def test_a_failed_run_says_why_with_the_end_of_its_log(tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan())
    failed = {
        "event": "stage_failed",
        "stage": "train",
        "error": 'StageError("train: disk\'s full: free some")',
    }
    write_events(
        run_dir,
        [
            {"time": BEGAN, "event": "stage_start", "stage": "train", "key": "k"},
            train_start(0, None, 6),
            step_event(1),
            step_event(2),
            failed | {"time": BEGAN + 20},
        ],
    )
    (run_dir / "logs").mkdir()
    (run_dir / "logs" / "rank0.log").write_text("".join(f"line {n}\n" for n in range(100)) + f"{HOSTILE}\n")
    shown = run_page(read_record(run_dir))
    assert '<p class="answer bad">train: disk&#x27;s full: free some</p>' in shown
    assert "line 99\n" in shown
    assert "line 10\n" not in shown
    assert "<script>alert" not in shown
    assert "is at step 2 of 6" in words(shown)
    assert ">failed</span>" in shown


def test_a_run_that_has_not_begun_has_a_page(tmp_path: Path) -> None:
    shown = words(run_page(read_record(begin_run(tmp_path, a_plan()))))
    assert "is to be trained on 768 tokens" in shown
    assert "not begun" in shown


def test_a_damaged_artifact_is_named(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path)
    (corpus,) = (tmp_path / "artifacts").glob("corpus-*")
    (corpus / "corpus.parquet").write_bytes(b"x")
    shown = words(run_page(read_record(run_dir)))
    assert "was changed after it was written" in shown
    assert "documents kept" not in shown


def test_a_run_is_held_against_another(tmp_path: Path) -> None:
    before, after = finished_run(tmp_path / "a", bits=2.0), finished_run(tmp_path / "b", bits=1.75)
    path = write_report(after, against=before)
    assert path == after / "report.html"
    shown = words(path.read_text(encoding="utf-8"))
    assert "held out bits per byte 2.0000 1.7500 -0.2500" in shown
    assert "2.0000 to 1.7500 bits per byte, -0.2500" in shown
    with pytest.raises(StageError, match="is not evaluated yet"):
        write_report(after, against=begin_run(tmp_path / "c", a_plan()))


def test_a_hundred_thousand_steps_fit_into_two_megabytes(tmp_path: Path) -> None:
    run_dir = begin_run(tmp_path, a_plan(steps=100_000))
    template = json.dumps(step_event(1) | {"step": "STEP", "loss": "LOSS"})
    template = template.replace('"STEP"', "%d").replace('"LOSS"', "%g")
    checkpoint = json.dumps({"time": BEGAN, "event": "checkpoint", "stall_s": 0, "write_s": 0})
    lines = [json.dumps(train_start(0, None, 100_000))]
    for step in range(1, 100_001):
        lines.append(template % (step, 99.5 if step == 77_777 else 2 + (step % 97) / 97))
        if step % 10 == 0:
            lines.append(f'{checkpoint[:-1]}, "step": {step}}}')
    (run_dir / "events.jsonl").write_text("\n".join(lines) + "\n")
    page = run_page(read_record(run_dir))
    assert len(page.encode()) < MOST_BYTES
    (read,) = re.findall(r"</i>each step <span class=\"at\" data-points=\"([^\"]*)\"", page)
    steps, values = json.loads(read)
    assert len(steps) < 1_000
    assert dict(zip(steps, values, strict=True))[77_777] == 99.5
    assert "10,000 checkpoints" in page
