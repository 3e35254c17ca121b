from __future__ import annotations

from pathlib import Path

import pytest

from forge.engine.events import append_event, read_events


def test_a_line_torn_by_a_kill_spoils_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, "step", step=1)
    with path.open("ab") as file:
        file.write(b'{"time": 1, "event": "st')
    append_event(path, "step", step=2)
    events, _ = read_events(path)
    assert [event["step"] for event in events] == [1, 2]


def test_reading_goes_on_where_it_stopped_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ([], 0)
    append_event(path, "step", step=1)
    events, offset = read_events(path)
    assert len(events) == 1
    with path.open("ab") as file:
        file.write(b'{"event": "half')
    assert read_events(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b'"}\n')
    assert [event["event"] for event in read_events(path, offset)[0]] == ["half"]


def test_a_number_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        append_event(tmp_path / "events.jsonl", "step", loss=float("nan"))
