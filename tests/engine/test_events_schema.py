"""What the schema of events.jsonl says, and that real runs keep to it (`events_of` checks every line it reads)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forge.engine.distributed import Place
from tests.engine.poison import poison
from tests.engine.runs import events_of, make_run, train_to_the_end
from tests.events import EVENT_VALIDATOR
from tests.factories import tiny_plan

SCHEMA: dict[str, Any] = json.loads(json.dumps(EVENT_VALIDATOR.schema))


def test_the_schema_is_valid_and_describes_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    kinds = [branch["if"]["properties"]["event"]["const"] for branch in SCHEMA["allOf"]]
    assert kinds == SCHEMA["properties"]["event"]["enum"]
    for branch in SCHEMA["allOf"]:
        then = branch["then"]
        assert then["description"].endswith(".")
        assert then["required"] == list(then["properties"])
        assert all(value["description"] for value in then["properties"].values())


@pytest.mark.parametrize(
    "event",
    [
        {"event": "note", "line": "no time"},
        {"time": 1.0, "event": "unheard of"},
        {"time": 1.0, "event": "note"},
        {"time": 1.0, "event": "note", "line": "one key too many", "step": 3},
        {"time": 1.0, "event": "checkpoint", "step": -1, "stall_s": 1.0, "write_s": 1.0},
        {"time": 1.0, "event": "train_end", "ending": "somehow"},
    ],
)
def test_what_is_no_event_is_refused(event: dict[str, Any]) -> None:
    assert not EVENT_VALIDATOR.is_valid(event)


def test_a_training_with_all_that_can_happen_keeps_to_it(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(schedule={"steps": 20, "checkpoint_every_steps": 4, "evaluate_every_steps": 6})
    poison(monkeypatch, {10, 11, 12}, "not finite")
    run_dir = make_run(tmp_path, plan)
    train_to_the_end(plan, tokens, run_dir, place)
    for kind in (
        "train_start",
        "step",
        "step_skipped",
        "going_back",
        "evaluation",
        "checkpoint",
        "train_end",
    ):
        assert events_of(run_dir, kind), kind
    (last,) = (event for event in events_of(run_dir, "step") if event["step"] == 20)
    assert last["epoch"] == pytest.approx(20 * 4 / ((4_000 - 1) // 32))
    assert last["tokens"] == 20 * 4 * 32
    assert last["data_time_s"] < last["step_time_s"]
