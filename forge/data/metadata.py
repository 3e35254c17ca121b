"""What a document says about itself: kept as JSON, and used to choose documents."""

from __future__ import annotations

import json
import math
from typing import Any

from forge.data.decode import encodable

ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=str)
"""One for all documents: to make one takes as long as to use it."""
MAX_DEPTH = 50


def metadata_json(metadata: dict[str, Any]) -> str:
    """Return `metadata` as strict JSON. What JSON has no form for becomes text, what nests too deep is named so."""
    try:
        text = ENCODER.encode(metadata)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, not-a-number, endless nesting
        text = json.dumps(_json_ready(metadata, MAX_DEPTH), ensure_ascii=False, allow_nan=False)
    return encodable(text)


def refusal(metadata: dict[str, Any], allow: dict[str, list[Any]]) -> tuple[str, str] | None:
    """Return (reason, detail) when a field is not one of the values `allow` has for it, else None.

    A field that is a list is allowed when one of its values is. A document that does not have the field stays: a rule
    made for one source says nothing about documents of another kind.
    """
    for name, allowed in allow.items():
        value = metadata.get(name)
        if value is None or value == []:
            continue
        given = {_as_text(item) for item in (value if isinstance(value, list) else [value])}
        if not given & {_as_text(item) for item in allowed}:
            return f"metadata {name} not allowed", f"{name} is {', '.join(sorted(given))}"
    return None


def _as_text(value: Any) -> str:
    # A year is 2024 in one format and "2024" in another.
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _json_ready(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list) and depth == 0:
        return "(nested too deep to keep)"
    if isinstance(value, dict):
        return {str(key): _json_ready(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_ready(item, depth - 1) for item in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
