"""What a file's name or a title says of versions: `Plan_v2 FINAL2 (1)` is the plan, version 2, final 2, a copy."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import date

from forge.data.written_dates import IN_NAME, day_in_name

EDGE = r"(?:^|(?<=[\s_\-.(\[,]))"
END = r"(?=$|[\s_\-.)\],])"

VERSION = re.compile(
    rf"{EDGE}(?:(?:version|vers|ver|revision|rev|fassung|v)[\s_\-.]*(\d{{1,3}}(?:[._]\d{{1,3}}){{0,3}})|r(\d{{1,2}})){END}"
)
ORDINAL = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)[\s_\-]+(draft|version|edition|revision)\b")
YEAR = re.compile(rf"{EDGE}((?:19[89]|20[0-4])\d){END}")
COPY = re.compile(
    rf"{EDGE}(?:copy of|kopie von|copie de|copy(?: \d+)?|kopie|copie|duplicate|backup|"
    rf"bak)(?:\s*\(\d+\))?{END}|\(\d{{1,2}}\)\s*$"
)
RANKS = {
    "old": -3,
    "outdated": -3,
    "obsolete": -3,
    "superseded": -3,
    "alt": -3,
    "previous": -3,
    "wip": -2,
    "draft": -2,
    "entwurf": -2,
    "proposal": -2,
    "review": -1,
    "reviewed": 1,
    "new": 1,
    "neu": 1,
    "updated": 1,
    "revised": 1,
    "final": 2,
    "endfassung": 2,
    "approved": 3,
    "signed": 3,
    "published": 3,
    "latest": 4,
    "current": 4,
    "aktuell": 4,
}
"""A name without any of these has rank 0."""
RANK = re.compile(rf"{EDGE}({'|'.join(sorted(RANKS, key=len, reverse=True))})[\s_\-.]?(\d{{0,2}}){END}")
FINALS = re.compile(rf"{EDGE}final(?:[\s_\-.]*final)+(\d{{0,2}}){END}")
OCCASIONS = frozenset(
    "minutes meeting sync standup retro retrospective agenda weekly newsletter invoice incident postmortem protokoll "
    "besprechung rechnung rundschreiben".split()
)
BEFORE_WHAT = frozenset("minutes agenda weekly newsletter invoice protokoll rechnung".split())
"""What a name ends in, or begins with, that is of a day: with another one it is no newer version, but the next of many.
An incident policy is none."""
SEPARATORS = re.compile(r"[\s_\-.,()\[\]]+")
OLD_FOLDERS = re.compile(r"(?:^|[\s_\-])(?:old|obsolete|superseded|outdated|archived?|alt)(?:$|[\s_\-])")


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart."""

    stem: tuple[str, ...]
    """Its words without all that tells versions, dates and copies apart."""
    numbers: tuple[int, ...]
    """Version numbers, () when there are none."""
    rank: float
    """Draft below plain below final; FINAL2 a little above FINAL."""
    day: date | None
    """The date in it; the last day of a year that stands alone."""
    copied: bool
    of_a_day: bool
    """Whether it names what happens again and again, and the day of this one: `2024-03-04 team sync`."""

    @property
    def marks(self) -> tuple[object, ...]:
        """What a version of the same stem may differ in."""
        return self.numbers, self.rank


@functools.lru_cache(maxsize=4_096)
def parse_name(name: str, old_folder: bool = False) -> Name:
    """Take apart a file name without its extension, or a title."""
    text = name.lower().strip()
    copied = COPY.search(text) is not None
    text = COPY.sub(" ", text).strip()
    day = day_in_name(text)
    names_a_day = day is not None
    text = IN_NAME.sub(" ", text)
    numbers: tuple[int, ...] = ()
    text = ORDINAL.sub(lambda match: f"v{match.group(1)} {match.group(2)}", text)
    if found := VERSION.search(text):
        numbers = tuple(int(part) for part in re.split(r"[._]", found.group(1) or found.group(2)))
        text = text[: found.start()] + " " + text[found.end() :]
    rank = -3.0 if old_folder else 0.0
    if found := FINALS.search(text):
        rank = RANKS["final"] + 0.5 + int(found.group(1) or 0) / 100
        text = text[: found.start()] + " " + text[found.end() :]
    elif found := _last(RANK, text):
        rank = RANKS[found.group(1)] + int(found.group(2) or 0) / 100
        text = text[: found.start()] + " " + text[found.end() :]
    if day is None and (found := YEAR.search(text)):
        day = date(int(found.group(1)), 12, 31)
        text = text[: found.start()] + " " + text[found.end() :]
    stem = tuple(word for word in SEPARATORS.split(text) if word)
    of_a_day = names_a_day and bool(stem) and (stem[-1] in OCCASIONS or stem[0] in BEFORE_WHAT)
    return Name(stem, numbers, rank, day, copied, of_a_day)


def in_old_folder(path: str) -> bool:
    """Return whether a folder on the way says that what it holds is old."""
    return _is_old(path.rpartition("/")[0])


@functools.lru_cache(maxsize=4_096)
def _is_old(folders: str) -> bool:
    return any(OLD_FOLDERS.search(folder) for folder in folders.lower().split("/"))


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    # 'new hire guide' is no version, 'hire guide new' is one: the mark must end the name.
    found = max(pattern.finditer(text), key=lambda match: match.start(), default=None)
    if found is None or SEPARATORS.sub("", VERSION.sub("", text[found.end() :])):
        return None
    return found
