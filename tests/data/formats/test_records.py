import json

import pytest

from forge.data.formats import records
from forge.data.formats.items import Document, Skipped
from tests.data.formats.files import document, read, reason


def test_jsonl_counts_lines_and_keeps_other_fields() -> None:
    lines = [
        json.dumps(
            {"text": "one", "title": "T", "language": "de", "year": 2024, "date": "2024-01-05T09:12:00Z"}
        ),
        "",
        json.dumps({"text": "two"}),
    ]
    one, two = read("a.jsonl", "\n".join(lines))
    assert isinstance(one, Document)
    assert (one.part, one.text, one.title, one.language) == (1, "one", "T", "de")
    assert one.created == "2024-01-05T09:12:00Z"
    assert one.metadata["year"] == 2024
    assert two == Document(3, "two", "application/jsonl")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "broken json"),
        (b'{"text": "x"} extra', "broken json"),
        (b"[" * 100_000, "broken json"),
        (b'{"text": ' + b"1" * 5_000 + b"}", "broken json"),
        (b'{"body": "x"}', "no text field"),
        (b'{"text": 5}', "no text field"),
        (b'{"text": null}', "no text field"),
        (b"[1]", "no text field"),
        (b'{"text": "\xff"}', "undecodable"),
    ],
)
def test_a_bad_line_is_skipped_and_the_next_is_read(line: bytes, why: str) -> None:
    skipped, found = read("a.jsonl", line + b'\n{"text": "fine"}\n')
    assert isinstance(skipped, Skipped)
    assert (skipped.part, skipped.reason) == (1, why)
    assert found == Document(2, "fine", "application/jsonl")


@pytest.mark.parametrize("length", [101, 250])
def test_a_line_that_is_too_long_is_skipped_and_the_next_is_read(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(records, "BLOCK_BYTES", 64)
    skipped, found = read("a.jsonl", "x" * length + '\n{"text": "fine"}\n')
    assert isinstance(skipped, Skipped)
    assert (skipped.part, skipped.reason) == (1, "line too long")
    assert found == Document(2, "fine", "application/jsonl")


def test_a_text_always_has_a_utf8_form() -> None:
    assert document("a.jsonl", '{"text": "a\\ud800b"}').text == "a\ufffdb"


def test_json_is_a_record_or_a_list_of_records_or_lines() -> None:
    assert document("a.json", '{"text": "one", "title": "T"}').title == "T"
    one, bad = read("a.json", '[{"text": "one"}, {"no": 1}]')
    assert one == Document(1, "one", "application/json")
    assert isinstance(bad, Skipped)
    assert [
        item.part
        for item in read("a.json", '{"text": "one"}\n{"text": "two"}\n')
        if isinstance(item, Document)
    ] == [
        1,
        2,
    ]


def test_other_json_is_a_document_as_it_is() -> None:
    found = document("sub/settings.json", '{"a": [1, 2]}')
    assert (found.text, found.mime, found.title) == ('{"a": [1, 2]}', "application/json", "settings.json")


def test_broken_json_and_what_describes_a_dataset_are_set_aside() -> None:
    assert reason("a.json", '{"a": ') == "broken json"
    assert reason("data/dataset_info.json", '{"features": {}}') == "dataset description"
    assert reason("data/state.json", '{"_data_files": []}') == "dataset description"
