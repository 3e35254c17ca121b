"""Frozen dataclasses as JSON values, and back."""

from __future__ import annotations

import types
import typing
from dataclasses import asdict, fields, is_dataclass
from typing import Any


def plain(value: Any) -> Any:
    """Return frozen dataclasses, and tuples of them, as values that JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def decode(kind: Any, value: Any) -> Any:
    """Return what `plain` made `value` of, by the annotations of `kind`.

    Raises:
        KeyError: a field is missing or unknown.
    """
    if is_dataclass(kind) and isinstance(kind, type):
        names = {field.name for field in fields(kind)}
        if unknown := sorted(set(value) - names):
            raise KeyError(f"unknown field {unknown[0]}")
        hints = typing.get_type_hints(kind)
        return kind(**{name: decode(hints[name], value[name]) for name in names})
    origin = typing.get_origin(kind)
    if origin is tuple:
        return tuple(decode(typing.get_args(kind)[0], item) for item in value)
    if origin in (types.UnionType, typing.Union):
        return value
    if kind is float:
        return float(value)
    return value
