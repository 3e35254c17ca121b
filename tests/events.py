"""The schema that every line of a run's events.jsonl keeps to."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator

from forge.resources import data_dir

EVENT_VALIDATOR = Draft202012Validator(
    json.loads((data_dir("schemas") / "events.schema.json").read_text(encoding="utf-8"))
)
