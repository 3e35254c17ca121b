"""What a document says of its own age: its version, the day it is dated, the day it was last reviewed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from forge.data.written_dates import find_days

HEAD_LINES, TAIL_LINES = 25, 8
MOST_LINE_CHARACTERS = 600

LABEL_END = r"\s*(?:date|on)?\s*[:\-–]?\s*(?:the\s+)?$"
REVIEW = re.compile(
    r"\b(?:last\s+(?:updated?|revised?|reviewed|review|revision|modified|edited|changed|checked|verified)"
    r"|(?:date of (?:the )?last (?:review|revision|update|change)))"
    r"(?:\s+(?:on|at|by [\w .]{2,40}? on))?" + LABEL_END,
    re.IGNORECASE,
)
DATED = re.compile(
    r"^\W*(?:date|dated|issued|published|effective(?: from| as of)?|as of|stand|version date|"
    rf"release date|approved){LABEL_END}",
    re.IGNORECASE,
)
STATED_VERSION = re.compile(
    r"^\W*(?:document\s+|doc\s+)?(?:version|revision|rev\.?|edition|issue)\b\W{0,3}(?:no\.?\s*)?(\d{1,3}(?:\.\d{1,3}){0,3})\b"
    r"(?=\s*(?:$|[,;(|]|\.\s*$|issued|of|from|dated|–|-))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stated:
    """What a document says of its own age."""

    reviewed: date | None
    dated: date | None
    version: tuple[int, ...]


def read_stated(text: str) -> Stated:
    """Return what the head and the tail of `text` say."""
    reviewed = dated = None
    version: tuple[int, ...] = ()
    for line in head_and_tail([line.strip() for line in text.split("\n") if line.strip()]):
        if not version and (found := STATED_VERSION.search(line)):
            version = tuple(int(part) for part in found.group(1).split("."))
        for day in find_days(line):
            before = line[: day.start]
            if reviewed is None and REVIEW.search(before):
                reviewed = day.day
            elif dated is None and (DATED.search(before) or (day.start < 60 and STATED_VERSION.search(line))):
                dated = day.day
    return Stated(reviewed, dated, version)


def head_and_tail(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines that speak of the document: the first and the last ones, each cut to a sensible length."""
    if len(lines) > HEAD_LINES + TAIL_LINES:
        lines = [*lines[:HEAD_LINES], *lines[-TAIL_LINES:]]
    return (line[:MOST_LINE_CHARACTERS] for line in lines)
