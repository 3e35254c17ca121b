from __future__ import annotations

from pathlib import Path

from forge.run.history import HistoryReader
from tests.report.runs import BEGAN, evaluation_event, step_event, train_start, write_events


def test_what_was_done_again_counts_once_and_time_between_attempts_does_not(tmp_path: Path) -> None:
    write_events(
        tmp_path,
        [
            train_start(0, None, 10, time=100),
            step_event(1, time=101, loss=9.0),
            step_event(2, time=102, loss=8.0),
            evaluation_event(2, 7.5) | {"time": 102.5},
            step_event(3, time=103, loss=7.0),
            {"time": 104, "event": "restart", "reason": "rank 0 was killed", "number": 1},
            train_start(1, 1, 10, time=1_000),
            step_event(2, time=1_001, loss=6.0),
        ],
    )
    history = HistoryReader(tmp_path).read()
    assert history.series("loss") == ([1.0, 2.0], [9.0, 6.0])
    assert history.evaluated("held_out_loss") == ([], [])
    assert (history.attempts, history.last_step) == (2, 2)
    assert [(one.kind, one.step) for one in history.happenings] == [("restart", 3), ("resumed", 1)]
    # Each attempt began 2 s before its first step: 98 to 103 and 998 to 1,001.
    assert history.training_s == 5 + 3
    assert history.steps[2]["training_s"] == 8


def test_only_what_was_appended_is_read_again_and_a_torn_line_waits(tmp_path: Path) -> None:
    reader = HistoryReader(tmp_path)
    assert reader.read().steps == {}
    write_events(tmp_path, [train_start(0, None, 10), step_event(1)])
    assert list(reader.read().steps) == [1]
    events = tmp_path / "events.jsonl"
    with events.open("a") as file:
        file.write('{"time": 1, "event": "st')
    assert list(reader.read().steps) == [1]
    events.write_text(events.read_text().replace('{"time": 1, "event": "st', ""))
    write_events(tmp_path, [step_event(2)])
    assert list(reader.read().steps) == [1, 2]


def test_a_spike_and_a_step_without_a_loss_are_marked(tmp_path: Path) -> None:
    write_events(
        tmp_path,
        [
            train_start(0, None, 10),
            step_event(1),
            step_event(2),
            {
                "time": BEGAN,
                "event": "going_back",
                "first_step": 2,
                "last_step": 2,
                "reason": "loss spike",
                "documents": ["a"],
                "document_count": 12,
            },
            train_start(1, 1, 10),
            {
                "time": BEGAN,
                "event": "step_skipped",
                "step": 2,
                "reason": "loss spike",
                "decided_before": True,
            },
            step_event(3),
        ],
    )
    history = HistoryReader(tmp_path).read()
    assert list(history.steps) == [1, 3]
    spike, _, skipped = history.happenings
    assert (spike.kind, spike.step) == ("going back", 2)
    assert spike.text == "loss spike: went back, leaving out steps 2 to 2 (12 documents)"
    assert (skipped.kind, skipped.text) == ("skipped", "step 2 left out after going back: loss spike")


def test_stages_and_what_became_of_them(tmp_path: Path) -> None:
    write_events(
        tmp_path,
        [
            {"time": 1, "event": "stage_start", "stage": "lake", "key": "k"},
            {"time": 2, "event": "stage_end", "stage": "lake", "key": "k", "wall_clock_s": 1.5},
            {"time": 3, "event": "stage_start", "stage": "corpus", "key": "k"},
            {
                "time": 4,
                "event": "stage_progress",
                "stage": "corpus",
                "done": 3,
                "total": 9,
                "unit": "documents",
            },
            {"time": 5, "event": "stage_failed", "stage": "corpus", "error": "StageError('corpus: no')"},
        ],
    )
    lake, corpus = HistoryReader(tmp_path).read().stages.values()
    assert (lake.state, lake.wall_clock_s) == ("done", 1.5)
    assert (corpus.state, corpus.progress, corpus.error) == (
        "failed",
        "3 of 9 documents",
        "StageError('corpus: no')",
    )
