"""Text from anyone, made safe for one line of a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

# C0 and C1 controls, line and paragraph separators, marks that change the direction of text, lone surrogates.
_UNSAFE = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"
    "\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069"
    "\\ud800-\\udfff\\ufffe\\uffff"
)
_CONTROL = re.compile(f"[{_UNSAFE}]")
_NOT_ON_ONE_LINE = re.compile(f"[{_UNSAFE}\\t\\n]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def has_control_characters(text: str) -> bool:
    """True where `text`, a value, could move a terminal's cursor, change its colours or hide characters."""
    return _CONTROL.search(text) is not None


def printable(text: str) -> str:
    """Return `text` on one line, with everything spelled out that a terminal would act on."""
    return _NOT_ON_ONE_LINE.sub(_spelled, text)


def shortened(text: str, length: int = 60) -> str:
    """Return `text` cut to at most `length` characters."""
    return text if len(text) <= length else text[: length - 3] + "..."


def shown(value: Any) -> str:
    """Return a value as messages show it: short, on one line, spelled as in YAML, text in quotes."""
    if isinstance(value, str):
        return f"'{shortened(printable(value), 58)}'"
    if isinstance(value, (dict, list)):
        return shortened(printable(json.dumps(value, ensure_ascii=False)))
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return shortened(repr(value))


def _spelled(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
