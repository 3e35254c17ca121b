"""Dates as people write them in documents and file names, English and German month names among them."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

FIRST_YEAR, LAST_YEAR = 1970, 2099

_NAMES = (
    ("january", "jan", "januar"),
    ("february", "feb", "februar"),
    ("march", "mar", "märz", "maerz"),
    ("april", "apr"),
    ("may", "mai"),
    ("june", "jun", "juni"),
    ("july", "jul", "juli"),
    ("august", "aug"),
    ("september", "sep", "sept"),
    ("october", "oct", "oktober", "okt"),
    ("november", "nov"),
    ("december", "dec", "dezember", "dez"),
)
MONTHS = {name: number for number, names in enumerate(_NAMES, start=1) for name in names}
MONTH = "(" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\b\.?"
YEAR = r"((?:19[7-9]|20\d)\d)\b"

PATTERNS = (
    ("ymd", re.compile(r"\b((?:19[7-9]|20\d)\d)[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")),
    (
        "dmy",
        re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{MONTH}\s*,?\s*{YEAR}", re.IGNORECASE),
    ),
    ("mdy", re.compile(rf"\b{MONTH}\s*(\d{{1,2}})(?:st|nd|rd|th)?\s*,?\s*{YEAR}", re.IGNORECASE)),
    ("numeric", re.compile(r"\b(\d{1,2})[./](\d{1,2})[./]((?:19[7-9]|20\d)\d)\b")),
    ("quarter", re.compile(rf"\bQ([1-4])[ /-]?{YEAR}", re.IGNORECASE)),
    ("my", re.compile(rf"\b{MONTH}\s+{YEAR}", re.IGNORECASE)),
)
HAS_YEAR = re.compile(r"(?:19[7-9]|20\d)\d")
ANY_DATE = re.compile("|".join(f"(?:{pattern.pattern})" for _, pattern in PATTERNS), re.IGNORECASE)
SLASHES = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")
IN_NAME = re.compile(r"(?<!\d)((?:19[7-9]|20\d)\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True, slots=True)
class Day:
    """A date in a text: its last possible day where it names a month or a quarter."""

    start: int
    end: int
    day: date
    exact: bool
    """Whether it names one day."""


def find_days(text: str) -> Iterator[Day]:
    """Yield the dates in `text` in order; a month or quarter stands for its last day."""
    if HAS_YEAR.search(text) is None:
        return
    for found in ANY_DATE.finditer(text):
        for kind, pattern in PATTERNS:
            if match := pattern.match(text, found.start()):
                day = _day(kind, match)
                if day is not None:
                    yield Day(match.start(), match.end(), day, kind not in ("quarter", "my"))
                break


def whole_day(text: str) -> date | None:
    """Return the one day that `text` is, and nothing else; None also where month and day may be swapped, 3/4/2024."""
    text = text.strip()
    found = next(find_days(text), None)
    if found is None or not found.exact or found.end - found.start != len(text):
        return None
    return None if SLASHES.fullmatch(text) else found.day


def day_in_name(name: str) -> date | None:
    """Return the date in a file name: 2024-01-31, 2024_01_31 or 20240131."""
    if match := IN_NAME.search(name):
        return _date(int(match.group(1)), int(match.group(3)), int(match.group(4)))
    return None


def _day(kind: str, match: re.Match[str]) -> date | None:
    one, two = match.group(1), match.group(2)
    if kind == "ymd":
        return _date(int(one), int(two), int(match.group(3)))
    if kind == "dmy":
        return _date(int(match.group(3)), MONTHS[two.lower()], int(one))
    if kind == "mdy":
        return _date(int(match.group(3)), MONTHS[one.lower()], int(two))
    if kind == "numeric":
        # Day first, as most of the world writes it, unless only the other order is a date.
        year = int(match.group(3))
        return _date(year, int(two), int(one)) or _date(year, int(one), int(two))
    year = int(two)
    month = 3 * int(one) if kind == "quarter" else MONTHS[one.lower()]
    return _date(year, month, calendar.monthrange(year, month)[1])


def _date(year: int, month: int, day: int) -> date | None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None
