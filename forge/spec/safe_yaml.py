"""The subset of YAML a spec file may use, read with the line of every key.

A recipe is data from anyone, so the subset is checked on the parser's events, before any value is built:
no anchors, aliases, tags or merge keys, no duplicate keys, plain keys only, bounded size, depth and count.
Scalars follow YAML 1.2's core schema (`true`, `null`, `10`, `1e-4`); `on`, `010` and `12:30` are just text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_DEPTH = 8
MAX_NODES = 5_000

NodePath = tuple[str | int, ...]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_DEFAULTS_KEY = re.compile(r"[A-Za-z0-9_./@: -]+\Z")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*)([eE][-+]?[0-9]+)?\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(slots=True)
class Document:
    """A parsed file: its mapping and, for the path of every key and list item, the line it stands on."""

    values: dict[str, Any]
    lines: dict[NodePath, int]
    errors: list[tuple[int, str]] = field(default_factory=list)
    """(line, what is wrong): everything outside the subset."""

    def remove(self, path: NodePath) -> None:
        """Take the key at `path` out of the values."""
        node: Any = self.values
        for part in path[:-1]:
            node = node[part]
        del node[path[-1]]


@dataclass(slots=True)
class _Frame:
    """A mapping or list under construction."""

    container: dict[str, Any] | list[Any]
    path: NodePath
    key: str | None = None


def printable(text: str) -> str:
    """Return `text` with control and direction-changing characters spelled out: safe to show on a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def has_control_characters(text: str) -> bool:
    """True where `text` could move a terminal's cursor, change its colours or hide characters."""
    return _CONTROL.search(text) is not None


def parse(text: str) -> Document:
    """Read one YAML document. Never raises: what is wrong is in `errors`, and `values` holds the rest."""
    document = Document({}, {})
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        document.errors.append((1, f"is larger than {MAX_BYTES // 1024} KiB: a spec file is a few lines"))
        return document
    try:
        _build(text, document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = printable(error.problem or error.context or "cannot be read")
        document.errors.append((line, f"is not YAML: {problem}"))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.errors.append((line, "holds a character that YAML does not allow: remove it"))
    if document.errors:
        document.errors.sort()
    return document


def scalar_value(text: str, quoted: bool) -> Any:
    """Return the value of a scalar: quoted text as it stands, plain text by YAML 1.2's core schema."""
    if quoted:
        return text
    lowered = text.lower()
    if lowered in ("", "~", "null"):
        return None
    if lowered in ("true", "false"):
        return lowered == "true"
    if _INTEGER.match(text) and len(text) <= 40:
        return int(text.replace("_", ""))
    if _FLOAT.match(text) and not (text[0] == "0" and text.isdigit()):
        return float(text.replace("_", ""))
    if lowered.lstrip("+-") in (".inf", ".nan"):
        return float(lowered.replace(".", "", 1))
    return text


def _build(text: str, document: Document) -> None:
    """Walk the parser's events with a stack of our own, so that nesting never recurses."""
    stack: list[_Frame] = []
    refused: set[NodePath] = set()
    nodes = 0

    def wrong(event: yaml.Event, what: str) -> None:
        document.errors.append((_line(event), what))

    def place(value: Any, event: yaml.Event) -> NodePath:
        if not stack:
            if not isinstance(value, dict):
                if value is not None:
                    wrong(event, "is not a mapping: write `key: value` lines")
            else:
                document.values = value
            return ()
        frame = stack[-1]
        if isinstance(frame.container, list):
            path = (*frame.path, len(frame.container))
            frame.container.append(value)
            document.lines[path] = _line(event)
            return path
        assert frame.key is not None
        path = (*frame.path, frame.key)
        frame.container[frame.key] = value
        frame.key = None
        return path

    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                wrong(event, "a second document (`---`) is not read: one file, one spec")
                return
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > MAX_NODES:
                wrong(event, f"holds more than {MAX_NODES} values: a spec file is a few lines")
                return
            if isinstance(event, yaml.AliasEvent):
                wrong(
                    event, f"*{printable(event.anchor or '')}: aliases are not allowed: write the value out"
                )
                return
            if event.anchor:
                wrong(event, f"&{printable(event.anchor)}: anchors are not allowed: write the value out")
                return
            tag = getattr(event, "tag", None)
            if tag and tag != "!":
                wrong(event, f"{printable(tag)}: tags are not allowed: write plain values")
                return
        expects_key = bool(stack) and isinstance(stack[-1].container, dict) and stack[-1].key is None
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if expects_key:
                wrong(event, "a key must be a plain word")
                return
            if len(stack) >= MAX_DEPTH:
                wrong(event, f"is nested deeper than {MAX_DEPTH} levels: a spec is flat")
                return
            container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            stack.append(_Frame(container, place(container, event)))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            stack.pop()
        elif isinstance(event, yaml.ScalarEvent):
            if expects_key:
                _take_key(stack, event, document, refused)
            else:
                value = scalar_value(event.value, quoted=event.style is not None)
                if isinstance(value, str) and has_control_characters(value):
                    wrong(event, f"'{printable(value)[:60]}' holds control characters: remove them")
                    value = printable(value)
                place(value, event)
    for path in sorted(refused, key=len, reverse=True):
        document.remove(path)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _take_key(
    stack: list[_Frame], event: yaml.ScalarEvent, document: Document, refused: set[NodePath]
) -> None:
    frame = stack[-1]
    line = _line(event)
    key = event.value
    allowed = _DEFAULTS_KEY if frame.path[:1] == ("defaults",) else _KEY
    if key == "<<":
        document.errors.append((line, "<<: merge keys are not allowed: write the values out"))
        refused.add((*frame.path, key))
    elif not allowed.match(key):
        shown = printable(key)[:60]
        document.errors.append(
            (line, f"'{shown}' is not a key: a key is letters, digits, - and _, from a letter")
        )
        refused.add((*frame.path, key))
    assert isinstance(frame.container, dict)
    if key in frame.container:
        first = document.lines[(*frame.path, key)]
        document.errors.append((line, f"{printable(key)}: is already set on line {first}: keep one"))
    frame.key = key
    document.lines[(*frame.path, key)] = line
