from __future__ import annotations

import os
from pathlib import Path

from forge.engine.heartbeat import Heartbeat, Patience, Watch, beat_file, clear_beats, read_beats

PATIENCE = Patience(medians=20.0, at_least_s=60.0, outside_steps_s=1_800.0)


def test_a_worker_says_where_it_is(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, 1)
    assert read_beats(tmp_path)[1] == {
        "beat": 0,
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
    assert beat["beat"] == 2
    heartbeat.rest(9, "checkpoint")
    assert read_beats(tmp_path)[1]["doing"] == "checkpoint"
    clear_beats(tmp_path)
    assert read_beats(tmp_path) == {}
    beat_file(tmp_path, 0).write_text('{"time_s": 1')
    assert read_beats(tmp_path) == {}


def test_patience_depends_on_what_a_worker_does() -> None:
    watch = Watch(PATIENCE)
    slow = {"beat": 5, "doing": "step", "step_time_s": 10.0}
    fast = {"beat": 7, "doing": "step", "step_time_s": 0.1}
    saving = {"beat": 2, "doing": "checkpoint", "step_time_s": 0.1}
    assert watch.silence({2: saving}, 900.0) is None
    assert watch.silence({0: slow, 2: saving}, 1_000.0) is None
    assert watch.silence({0: slow, 1: fast, 2: saving}, 1_010.0) is None
    beats = {0: slow, 1: fast, 2: saving}
    assert watch.silence(beats, 1_069.0) is None
    assert watch.silence(beats, 1_071.0) == (1, 61.0)
    assert watch.silence(beats, 1_201.0) == (0, 201.0)
    assert watch.silence(beats, 2_701.0) == (2, 1_801.0)
    assert watch.silence(beats | {2: saving | {"beat": 3}}, 2_801.0) == (0, 1_801.0)
    assert watch.silence({}, 1e9) is None
