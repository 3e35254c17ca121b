from __future__ import annotations

import os
import time
from pathlib import Path

from forge.engine.heartbeat import Heartbeat, Patience, beat_file, clear_beats, read_beats, silence

PATIENCE = Patience(medians=20.0, at_least_s=60.0, outside_steps_s=1_800.0)


def test_a_worker_says_where_it_is(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, 1)
    assert read_beats(tmp_path)[1] | {"time_s": 0} == {
        "time_s": 0,
        "pid": os.getpid(),
        "step": 0,
        "doing": "start",
        "step_time_s": None,
    }
    heartbeat.step(8)
    assert read_beats(tmp_path)[1]["doing"] == "first step"
    heartbeat.step(9)
    beat = read_beats(tmp_path)[1]
    assert (beat["doing"], beat["step"]) == ("step", 9)
    assert beat["step_time_s"] >= 0
    assert abs(beat["time_s"] - time.monotonic()) < 60
    heartbeat.rest(9, "checkpoint")
    assert read_beats(tmp_path)[1]["doing"] == "checkpoint"
    clear_beats(tmp_path)
    assert read_beats(tmp_path) == {}
    beat_file(tmp_path, 0).write_text('{"time_s": 1')
    assert read_beats(tmp_path) == {}


def test_patience_depends_on_what_a_worker_does() -> None:
    beats = {
        0: {"time_s": 1_000.0, "doing": "step", "step_time_s": 10.0},
        1: {"time_s": 1_010.0, "doing": "step", "step_time_s": 0.1},
        2: {"time_s": 900.0, "doing": "checkpoint", "step_time_s": 0.1},
    }
    assert silence(beats, PATIENCE, 1_069.0) is None
    assert silence(beats, PATIENCE, 1_071.0) == (1, 61.0)
    assert silence(beats, PATIENCE, 1_201.0) == (0, 201.0)
    assert silence(beats, PATIENCE, 2_701.0) == (2, 1_801.0)
    assert silence({}, PATIENCE, 1e9) is None
