from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forge.errors import StageError
from forge.evaluate.questions import Question, read_questions


def write(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    path = folder / "asked.jsonl"
    texts = [
        line
        if isinstance(line, bytes)
        else (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(texts))
    return path


def test_all_ways_to_give_an_answer(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "\ufeff" + json.dumps({"question": " Who? ", "answer": "Łucja"}),
        "",
        {"question": "How many?", "answers": [7, "seven"], "aliases": "about seven", "id": 3},
        {"question": "Which?", "answer": "this", "kind": "seen", "source": "policy.md"},
        {"question": "Why?", "kind": "unknown_near"},
    )
    assert read_questions(path, "x") == [
        Question("Who?", ("Łucja",), "other", "asked.jsonl:1"),
        Question("How many?", ("7", "seven", "about seven"), "other", "asked.jsonl:3"),
        Question("Which?", ("this",), "seen", "policy.md"),
        Question("Why?", (), "unknown_near", "asked.jsonl:5"),
    ]


GOOD = {"question": "Who?", "answer": "Ada"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "has no question: write one JSON object a line"),
        (["", " "], "has no question: write one JSON object a line"),
        ([GOOD, "{"], ":2: is not JSON"),
        ([GOOD, "[1]"], ":2: is no JSON object"),
        ([{"answer": "x"}], ":1: has no question: give the field `question` a text"),
        ([{"question": 7, "answer": "x"}], ":1: has no question"),
        ([{"question": "?!", "answer": "x"}], ":1: has no question"),
        ([GOOD, {"question": "Why?"}], ":2: has no answer: give one in `answer`, or say that none is right"),
        ([{"question": "Why?", "answers": []}], ":1: has no answer"),
        ([{"question": "Why?", "answer": ""}], ":1: answer: is empty"),
        ([{"question": "Why?", "answer": "..."}], ":1: an answer has no word or number in it"),
        ([{"question": "Why?", "answer": {"a": 1}}], ":1: answer: .* is no text"),
        ([{"question": "Why?", "answer": True}], ":1: answer: true is no text"),
        (
            [{"question": "Why?", "answer": "x", "kind": "sean"}],
            ":1: kind: 'sean' is not one of seen, document",
        ),
        (
            [{"question": "Why?", "answer": "x", "kind": "unknown_far"}],
            ":1: is of kind unknown_far and has an answer",
        ),
        ([GOOD, {"question": "who", "answer": "Bob"}], ":2: asks what line 1 asks: keep one of them"),
        (
            [json.dumps(GOOD), b'{"question": "Caf\xe9?", "answer": "x"}'],
            ":2: is not UTF-8: save the file as",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, lines: list[dict[str, Any] | str | bytes], message: str
) -> None:
    path = write(tmp_path, *lines)
    with pytest.raises(StageError, match=message) as caught:
        read_questions(path, "evaluate.questions")
    assert len(caught.value.lines) == 1
    assert "\n" not in caught.value.lines[0]
    assert caught.value.lines[0].startswith(f"evaluate.questions: {path}")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"cannot be read \(No such file or directory\): name another file"):
        read_questions(tmp_path / "none.jsonl", "evaluate.questions")
