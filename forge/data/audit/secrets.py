"""Where personal data and secrets stand, for people: kind, place and masked form, never the value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forge.data.sensitive import KINDS, Found, find_values


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a value stands."""

    kind: str
    """As `data.redact_kinds` names it."""
    document: int
    line: int
    """From 1."""
    masked: str


def places(number: int, text: str, found: Sequence[Found]) -> Iterator[SecretPlace]:
    """Yield where the values of document `number` stand, masked."""
    line, at = 1, 0
    for one in found:
        line += text.count("\n", at, one.start)
        at = one.start
        yield SecretPlace(one.kind, number, line, masked(one.kind, one.value))


def masked(kind: str, value: str) -> str:
    """Return a form that shows what a value looks like and not what it is: known prefix, dots, length."""
    shown = KINDS[kind].shown
    if shown and shown in value[:12]:
        head = value[: value.index(shown) + len(shown)]
        return f"{head}•••• ({len(value)} characters)"
    return f"•••• ({len(value)} characters)"


def without_secrets(text: str) -> str:
    """Return `text` with every value found in it replaced by its kind: for all that a report quotes."""
    parts, at = [], 0
    for one in find_values(text):
        parts += [text[at : one.start], f"[{one.kind.replace('_', ' ')}]"]
        at = one.end
    return "".join([*parts, text[at:]])
