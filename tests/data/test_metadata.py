import datetime
import json
from typing import Any

import pytest

from forge.data.metadata import metadata_json, refusal


def test_plain_metadata_is_plain_json() -> None:
    assert metadata_json({"a": "ü", "b": [1, None, True]}) == '{"a": "ü", "b": [1, null, true]}'


def test_what_json_has_no_form_for_becomes_text() -> None:
    value = {
        "day": datetime.date(2024, 1, 2),
        "n": float("nan"),
        "in": {datetime.date(2024, 1, 2): 1},
        "s": "\ud800",
    }
    text = metadata_json(value)
    text.encode()

    def refuse(name: str) -> Any:
        raise AssertionError(name)

    assert json.loads(text, parse_constant=refuse) == {
        "day": "2024-01-02",
        "n": "nan",
        "in": {"2024-01-02": 1},
        "s": "\ufffd",
    }


def test_endless_nesting_is_cut_and_said() -> None:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    assert "nested too deep" in metadata_json({"x": value, "y": 1})


@pytest.mark.parametrize(
    ("metadata", "allowed"),
    [
        ({"category": "Permissive"}, True),
        ({"category": "Commercial"}, False),
        ({}, True),
        ({"category": ["Commercial", "Permissive"]}, True),
        ({"category": []}, True),
        ({"category": None}, True),
    ],
)
def test_a_field_that_is_there_must_have_an_allowed_value(metadata: dict[str, Any], allowed: bool) -> None:
    assert (refusal(metadata, {"category": ["Permissive", "Copyleft"]}) is None) == allowed


def test_the_reason_names_field_and_value() -> None:
    assert refusal({"category": "Commercial"}, {"category": ["Permissive"]}) == (
        "metadata category not allowed",
        "category is Commercial",
    )


def test_numbers_match_their_digits() -> None:
    assert refusal({"year": 2024}, {"year": ["2024"]}) is None


def test_nothing_asked_nothing_refused() -> None:
    assert refusal({"a": 1}, {}) is None
