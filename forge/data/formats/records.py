"""JSON Lines and JSON: a document for each object that has a `text`, or that holds a conversation or a preference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from forge.data import conversations, preferences
from forge.data.conversations import NoConversation
from forge.data.decode import encodable, file_text
from forge.data.formats.fields import described
from forge.data.formats.items import (
    BLOCK_BYTES,
    Content,
    Document,
    Item,
    Records,
    Skipped,
    Unreadable,
    newlines,
)

DECODER = json.JSONDecoder(parse_constant=str)
"""NaN and Infinity are not JSON; as words they do no harm. To make a decoder takes as long as to use it."""
MAX_LINE_BYTES = 64 * 1024 * 1024
DATASET_FILES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What Hugging Face `datasets` writes beside the data."""


def read_jsonl(content: Content) -> Iterator[Item]:
    """Read JSON Lines: a document a line, its `text` the text, all other fields metadata. Blank lines are no lines.

    Where conversations or preferences are wanted a line holds one.
    """
    with content.open() as file:
        part = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            part += 1
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(BLOCK_BYTES)
                yield Skipped(part, "line too long", f"more than {MAX_LINE_BYTES} bytes")
                continue
            if part == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _line(part, line, content.records)


def read_json(content: Content) -> Iterator[Item]:
    """Read a JSON file: one object with a `text`, a list of such, lines of such; any other is a document as it is."""
    text, metadata = file_text(content.read())
    name = PurePosixPath(content.name).name
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        if _is_object(text.split("\n", 1)[0]):
            yield from read_jsonl(content)
            return
        raise Unreadable("broken json", str(error)) from None
    if name in DATASET_FILES and isinstance(value, dict):
        raise Unreadable("dataset description", "it describes the data files beside it")
    if content.records != "text":
        for part, item in enumerate(value if isinstance(value, list) else [value], start=1):
            yield record(part, item, "application/json", content.records)
    elif isinstance(value, dict) and isinstance(value.get("text"), str):
        yield record(0, value, "application/json")
    elif isinstance(value, list) and any(isinstance(item, dict) and "text" in item for item in value):
        for part, item in enumerate(value, start=1):
            yield record(part, item, "application/json")
    else:
        yield Document(0, text, "application/json", name, metadata=metadata)


def record(part: int, fields: Any, mime: str, records: Records = "text") -> Document | Skipped:
    """Return the document of a record, or why it has none.

    Args:
        part: its place in the file.
        fields: what it says.
        mime: of the file; what holds a conversation or a preference has a type of its own.
        records: which of the three is wanted.
    """
    if records == "conversation":
        return _messages(part, fields, _conversation_text, conversations.MIME)
    if records == "preference":
        return _messages(part, fields, _preference_text, preferences.MIME)
    if not isinstance(fields, dict):
        return Skipped(part, "no text field", f"it is a {type(fields).__name__}, not an object")
    text = fields.pop("text", None)
    if text is None:
        return Skipped(part, "no text field", f"fields: {', '.join(map(str, fields))}")
    if not isinstance(text, str):
        return Skipped(part, "no text field", f"`text` is a {type(text).__name__}")
    return Document(part, newlines(encodable(text)), mime, **described(fields), metadata=fields)


def _messages(
    part: int, fields: Any, to_text: Callable[[dict[str, Any]], str], mime: str
) -> Document | Skipped:
    if not isinstance(fields, dict):
        return Skipped(part, "no messages", f"it is a {type(fields).__name__}, not an object")
    try:
        text = to_text(fields)
    except NoConversation as error:
        return Skipped(part, error.reason, error.detail)
    return Document(part, text, mime, **described(fields), metadata=fields)


def _conversation_text(fields: dict[str, Any]) -> str:
    return conversations.to_text(conversations.from_record(fields))


def _preference_text(fields: dict[str, Any]) -> str:
    return preferences.to_text(preferences.from_record(fields))


def _line(part: int, line: bytes, records: Records) -> Document | Skipped:
    try:
        fields = DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Skipped(part, "undecodable", f"byte {error.start} of the line is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Skipped(part, "broken json", str(error))
    return record(part, fields, "application/jsonl", records)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
