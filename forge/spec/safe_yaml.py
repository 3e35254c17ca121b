"""The subset of YAML a spec file may use, read with the line of every key.

A recipe is data from anyone, so the subset is checked on the parser's events, before any value is built:
no anchors, aliases, tags or merge keys, no duplicate keys, plain keys only, bounded size, depth and count.
Scalars follow YAML 1.2's core schema (`true`, `null`, `10`, `1e-4`); `on`, `010` and `12:30` are just text.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NoReturn

import yaml

from forge.spec.text import has_control_characters, printable, shortened
from forge.spec.yaml_errors import yaml_problem

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_NODES = 5_000

_PACKAGE_HEADER = re.compile(r"#\s*@package:?\s+(\S+)")
_FOR_MACHINES = ("yaml-language-server:", "@package")

NodePath = tuple[str | int, ...]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_DEFAULTS_KEY = re.compile(r"[A-Za-z0-9_./@: -]+\Z")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*)([eE][-+]?[0-9]+)?\Z")


@dataclass(slots=True)
class Document:
    """A parsed file: its mapping and, for the path of every key and list item, the line it stands on."""

    values: dict[str, Any]
    lines: dict[NodePath, int]
    errors: list[tuple[int, str]] = field(default_factory=list)
    """(line, what is wrong): everything outside the subset."""
    comment: str = ""
    """What the file opens with: its first lines of comment as one paragraph, without what they tell an editor."""


def parse(text: str) -> Document:
    """Read one YAML document. Never raises: what is wrong is in `errors`, and `values` holds the rest."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return too_large()
    document = Document({}, {}, comment=_opening_comment(text))
    document.errors += _misleading(text)
    if document.errors:
        return document
    reader = _Reader(document)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except _Refused:
        reader.drop_unfinished()
    except yaml.MarkedYAMLError as error:
        document.errors.append(yaml_problem(error))
        reader.drop_unfinished(document.errors[-1][0])
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.errors.append((line, "holds a character that YAML does not allow: remove it"))
    document.errors.sort()
    return document


def _misleading(text: str) -> list[tuple[int, str]]:
    """Return what makes a file say something else than it shows, unread: a comment can hold it, too."""
    lines = text.replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if has_control_characters(line):
            return [(number, "holds a character that a terminal acts on or that hides text: remove it")]
        package = _PACKAGE_HEADER.match(line)
        if package and package[1] != "_global_":
            name = shortened(package[1])
            return [(number, f"@package {name}: packages are not used: write the keys in their groups")]
    return []


def _opening_comment(text: str) -> str:
    opening = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = (line.lstrip("#").strip() for line in opening)
    return printable(" ".join(line for line in lines if line and not line.startswith(_FOR_MACHINES)))


def too_large() -> Document:
    """Return what stands for a file of more than MAX_BYTES, unread."""
    return Document({}, {}, [(1, f"is larger than {MAX_BYTES // 1024} KiB: a spec file is a few lines")])


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


class _Refused(Exception):
    """Something that no further reading can mend. It is in the document's errors already."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list under construction."""

    container: dict[str, Any] | list[Any]
    path: NodePath
    key: str | None = None
    """The key of a mapping that waits for its value."""
    dropped: bool = False
    """Whether that key was refused, and its value goes with it."""
    had_refused: bool = False
    """Whether anything in it was refused."""


class _Reader:
    """Builds a document from the parser's events, with a stack of its own so that nesting never recurses."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0
        self._last_scalar: tuple[dict[str, Any], str, int] | None = None
        """The mapping it stands in, its key there, and the line it ends on."""

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "a second document (`---`) is not read: one file, one spec")
        if isinstance(event, yaml.NodeEvent):
            self._check_subset(event)
        frame = self._stack[-1] if self._stack else None
        expects_key = frame is not None and isinstance(frame.container, dict) and frame.key is None
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if expects_key:
                self._refuse(event, "a key must be a plain word")
            if len(self._stack) >= MAX_DEPTH:
                self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels: a spec is flat")
            container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._stack.append(_Frame(container, self._place(container, event)))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, yaml.ScalarEvent):
            if expects_key:
                assert frame is not None
                self._take_key(frame, event)
            else:
                if frame is not None and isinstance(frame.container, dict):
                    last_line = event.end_mark.line + 1 if event.end_mark else 1
                    self._last_scalar = (frame.container, str(frame.key), last_line)
                self._take_scalar(event)

    def _end(self) -> None:
        """Close a mapping or list; one of which all was refused is left out: that it is empty is nobody's mistake."""
        frame = self._stack.pop()
        if frame.had_refused and not frame.container and self._stack:
            above = self._stack[-1]
            above.had_refused = True
            if isinstance(above.container, dict):
                above.container.pop(str(frame.path[-1]), None)
            else:
                above.container.pop()

    def drop_unfinished(self, error_line: int | None = None) -> None:
        """Take out the value that reading ended in the middle of: it would only lead to problems that are none."""
        for parent, frame in pairwise(self._stack):
            nested = len(frame.path) > 1 or isinstance(frame.container, list)
            if nested and frame.path[0] != "defaults" and isinstance(parent.container, dict):
                parent.container.pop(str(frame.path[-1]), None)
                return
        if error_line is not None and self._last_scalar is not None:
            container, key, last_line = self._last_scalar
            if last_line >= error_line:
                container.pop(key, None)

    def _check_subset(self, event: yaml.NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"holds more than {MAX_NODES} values: a spec file is a few lines")
        name = shortened(printable(event.anchor or ""))
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"*{name}: aliases are not allowed: write the value out")
        if event.anchor:
            self._refuse(event, f"&{name}: anchors are not allowed: write the value out")
        tag = getattr(event, "tag", None)
        if tag and tag != "!":
            self._refuse(event, f"{shortened(printable(tag))}: tags are not allowed: write plain values")

    def _take_key(self, frame: _Frame, event: yaml.ScalarEvent) -> None:
        assert isinstance(frame.container, dict)
        key, path = event.value, (*frame.path, event.value)
        problem = _key_problem(key, below=str(frame.path[0]) if frame.path else "")
        if problem is not None:
            self._wrong(event, problem)
        elif path in self._document.lines:
            first = self._document.lines[path]
            self._wrong(event, f"{'.'.join(map(str, path))}: is already set on line {first}: keep one")
        frame.key, frame.dropped = key, problem is not None
        frame.had_refused |= frame.dropped
        self._document.lines[path] = _line(event)

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        value = scalar_value(event.value, quoted=event.style is not None)
        if isinstance(value, str) and has_control_characters(value):
            self._wrong(event, f"'{shortened(printable(value))}' holds control characters: remove them")
            if self._stack:
                frame = self._stack[-1]
                frame.key, frame.had_refused = None, True
                return
        self._place(value, event)

    def _place(self, value: Any, event: yaml.Event) -> NodePath:
        """Put `value` where it belongs, and return its path."""
        if not self._stack:
            if isinstance(value, dict):
                self._document.values = value
            elif value is not None:
                self._refuse(event, "is not a mapping: write `key: value` lines")
            return ()
        frame = self._stack[-1]
        if isinstance(frame.container, list):
            path: NodePath = (*frame.path, len(frame.container))
            frame.container.append(value)
            self._document.lines[path] = _line(event)
            return path
        assert frame.key is not None
        path = (*frame.path, frame.key)
        if not frame.dropped:
            frame.container[frame.key] = value
        frame.key = None
        return path

    def _wrong(self, event: yaml.Event, what: str) -> None:
        self._document.errors.append((_line(event), what))

    def _refuse(self, event: yaml.Event, what: str) -> NoReturn:
        self._wrong(event, what)
        raise _Refused


def _key_problem(key: str, below: str) -> str | None:
    """Return what is wrong with a key, or None.

    Args:
        key: as written.
        below: the key at the root that it stands below.
    """
    if below == "hydra":
        return None  # a spec has no such key, and to say so once is enough
    if key == "<<":
        return "<<: merge keys are not allowed: write the values out"
    if below == "defaults" and _DEFAULTS_KEY.match(key):
        return None
    if _KEY.match(key):
        return None
    shown = shortened(printable(key))
    group, dot, rest = shown.partition(".")
    if dot and all(_KEY.match(part) for part in key.split(".")):
        return f"'{shown}': a dot does not open a group: write `{rest}` below `{group}:`, indented"
    return f"'{shown}' is not a key: a key is letters, digits, - and _, from a letter"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
