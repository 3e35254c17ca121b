"""Claims of tables and settings: `max_upload_mb, 50`, a column `upload limit (MB)`, `RETENTION_DAYS = 30`.

Few and sure: a value counts only with its unit, in its key, its column's head or beside it; and only for a thing that
the row, the sheet, the file or its folder names. Tables of what happened (a date to each row) claim nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from forge.data.audit.claims import MOST_CLAIMS, NOT_IN_FORCE, NOT_SETTLED, SCOPE_WORDS, YEAR, Claim
from forge.data.audit.values import find_values
from forge.data.audit.words_of_claims import content_terms

MOST_ROWS = 200
"""A longer table is data, no settings."""
UNITS = {
    "kb": "KB", "mb": "MB", "gb": "GB", "tb": "TB", "kib": "KiB", "mib": "MiB", "gib": "GiB", "tib": "TiB",
    "ms": "ms", "msec": "ms", "sec": "seconds", "secs": "seconds", "second": "seconds", "seconds": "seconds",
    "mins": "minutes", "minute": "minutes", "minutes": "minutes", "hour": "hours", "hours": "hours", "hrs": "hours",
    "day": "days", "days": "days", "week": "weeks", "weeks": "weeks", "month": "months", "months": "months",
    "year": "years", "years": "years", "percent": "%", "pct": "%", "%": "%", "eur": "EUR", "euro": "EUR", "€": "EUR",
    "usd": "USD", "$": "USD", "gbp": "GBP", "£": "GBP", "chf": "CHF",
}  # fmt: skip
"""What a key or a column's head ends in, as a sentence would have it. `min` may be a minimum and is none."""
FIGURE = r"\d+(?:[_,]\d{3})*(?:\.\d+)?"
NUMBER = re.compile(rf"{FIGURE}\Z")
NAME_CELLS = frozenset("name key setting parameter option item property variable attribute field".split())
OF_A_TIME = re.compile(
    r"(?i)\b(?:date|day|month|year|week|quarter|period|since|until|valid|from|version|release|history|id|no|ticket|invoice)\b"
)
"""Heads of columns that make each row one of many, or one that was."""
PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[%€$£]")
ASSIGNED = re.compile(
    r"\s*(?:(?:export|const|static|final|public|readonly|let|var)\s+)*[\"']?(?P<key>[A-Za-z][\w.-]*)[\"']?"
    r"(?:\s*:\s*[A-Za-z]\w*(?=\s*=))?\s*(?::=|=>|=|:|\s)\s*"
    rf"[\"']?(?P<value>{FIGURE}(?:\s?[A-Za-z%]+)?)[\"']?\s*[,;]?\s*(?:(?:#|//|--).*)?"
)
"""One line that gives one key one value; what is computed or called is none."""
CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*\Z")
SETTINGS_TYPES = ("text/x-yaml", "text/x-toml", "text/x-ini", "application/json")


@dataclass(frozen=True, slots=True)
class _Entry:
    line: int
    shown: str
    """The row or line as it stands."""
    name: str
    """What a cell names it after; '' where nothing does."""
    key: str
    value: str


def table_claims(number: int, text: str, place: str) -> Iterator[Claim]:
    """Yield the claims of a table with a tab between cells. `place`: its title, file and folders."""
    rows = [line.split("\t") for line in text.split("\n")]
    if 1 < len(rows) <= MOST_ROWS:
        yield from _claims(number, _table_entries(rows), place)


def code_claims(number: int, text: str, mime: str, place: str) -> Iterator[Claim]:
    """Yield the claims of settings; of code in a programming language only its constants are such."""
    entries = []
    for line, content in enumerate(text.split("\n"), start=1):
        found = ASSIGNED.fullmatch(content) if len(content) < 200 else None
        if found and (mime in SETTINGS_TYPES or CONSTANT.match(found["key"])):
            entries.append(_Entry(line, content.strip(), "", found["key"], found["value"]))
    yield from _claims(number, entries, place)


def _table_entries(rows: Sequence[Sequence[str]]) -> Iterator[_Entry]:
    head = [cell.strip() for cell in rows[0]]
    if any(OF_A_TIME.search(cell) for cell in head):
        return
    of_keys = len(head) == 2 and (
        head[0].lower() in NAME_CELLS or _unit(_words(head[0])) or _is_value(head[1])
    )
    for line, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        shown = " | ".join(cell for cell in cells if cell)
        if of_keys and len(cells) == 2:
            yield _Entry(line, shown, "", cells[0], cells[1])
        elif not of_keys and line > 1 and len(cells) == len(head):
            if (
                len(cells) == 3
                and not _is_value(cells[1])
                and _is_value(cells[2])
                and not _unit(_words(head[2]))
            ):
                yield _Entry(line, shown, cells[0], cells[1], cells[2])
                continue
            for key, value in zip(head[1:], cells[1:], strict=True):
                yield _Entry(line, shown, cells[0], key, value)


def _claims(number: int, entries: Iterator[_Entry] | Sequence[_Entry], place: str) -> Iterator[Claim]:
    entries = list(entries)
    times = Counter((one.name.lower(), one.key.lower()) for one in entries)
    count = 0
    for one in entries:
        # What has two values in one table is no setting.
        if times[one.name.lower(), one.key.lower()] > 1 or count == MOST_CLAIMS:
            continue
        claim = _claim(number, one, place)
        if claim is not None:
            yield claim
            count += 1


def _claim(number: int, one: _Entry, place: str) -> Claim | None:
    words = _words(one.key)
    unit = _unit(words)
    said = " ".join(words[:-1] if unit else words)
    if not said or NOT_IN_FORCE.search(f"{said} {one.name}") or NOT_SETTLED.search(f"{said} {one.name}"):
        return None
    figure = one.value.replace("_", "")
    if NUMBER.match(figure):
        if not unit:
            return None
        figure = f"{figure} {unit}"
    values = list(find_values(figure))
    if len(values) != 1 or (values[0].start, values[0].end) != (0, len(figure)):
        return None
    if values[0].dimension.split()[0] not in ("bytes", "duration", "percent", "money"):
        return None
    start = one.shown.rfind(one.value)
    scope = {word.lower() for word in SCOPE_WORDS.findall(f"{said} {one.name} {place}")}
    scope |= set(YEAR.findall(f"{one.name} {place}"))
    return Claim(
        document=number,
        sentence=one.shown,
        heading="",
        line=one.line,
        dimension=values[0].dimension,
        value=replace(values[0], start=start, end=start + len(one.value)),
        person="",
        role=(),
        terms=content_terms(said),
        scope=frozenset(scope),
        days=frozenset(),
        capitals=(),
        named=tuple(text for text in (one.name, place) if text),
    )


def _words(key: str) -> list[str]:
    return [part.lower() for part in PARTS.findall(key)]


def _unit(words: Sequence[str]) -> str | None:
    return UNITS.get(words[-1]) if words else None


def _is_value(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in tuple("€$£")
