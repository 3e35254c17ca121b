from __future__ import annotations

import io
import time

import pytest

from forge.run.display import BarDisplay, LineDisplay, make_display, state


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_a_minute_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    stream = io.StringIO()
    stage = make_display(stream, quiet=False).stage("train")
    stage.start(100, "steps")
    for _ in range(50):
        now_s[0] += 4
        stage.status("loss 3.21")
        stage.advance()
    stage.note("train: going on")
    stage.note("something else")
    stage.close()
    assert stream.getvalue().splitlines() == [
        "train: 15 of 100 steps, 0.2/s, 5 min 40 s left, loss 3.21",
        "train: 30 of 100 steps, 0.2/s, 4 min 40 s left, loss 3.21",
        "train: 45 of 100 steps, 0.2/s, 3 min 40 s left, loss 3.21",
        "train: going on",
        "train: something else",
    ]


def test_what_an_earlier_run_did_counts_and_says_nothing_of_the_rate() -> None:
    assert state(60, 50, 100, "documents", 5.0, "") == ["60 of 100 documents", "2/s", "20 s left"]
    assert state(50, 50, 100, "documents", 5.0, "") == ["50 of 100 documents"]


def test_a_quiet_display_says_nothing() -> None:
    stream = Terminal()
    shown = make_display(stream, quiet=True)
    assert isinstance(shown, LineDisplay)
    stage = shown.stage("lake")
    stage.start(10, "documents")
    stage.advance(10)
    stage.note("hello")
    shown.line("done")
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_with_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    now_s = [0.0]
    stream = Terminal()
    shown = make_display(stream, quiet=False)
    assert isinstance(shown, BarDisplay)
    stage = shown.stage("lake")
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    stage.start(1000, "documents")
    now_s[0] = 10.0
    stage.advance(250)
    stage.status("so far so good")
    stage.note("a [bracket] is text")
    stage.close()
    text = stream.getvalue()
    assert "250 of 1,000 documents  25/s  30 s left  so far so good" in text
    assert "lake: a [bracket] is text" in text
