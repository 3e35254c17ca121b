"""Versions of one document by name and text: which is the newest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SEPARATOR = r"[\s_.\-()\[\]]"
VERSION = re.compile(
    rf"(?:^|{SEPARATOR})(?:v|ver|version|rev|revision|r)[\s_.\-]?(\d+(?:[._]\d+)*)(?={SEPARATOR}|$)"
)
DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(0[1-9]|1[0-2])(?:[-_.]?(0[1-9]|[12]\d|3[01]))?(?!\d)")
COPY = re.compile(rf"(?:{SEPARATOR}|^)(?:\((\d{{1,2}})\)|copy(?:[\s_\-]?(\d{{1,2}}))?)(?={SEPARATOR}|$)")
FINAL = re.compile(rf"(?:{SEPARATOR}|^)(final|latest|neu|new)[\s_\-]?(\d{{0,2}})(?={SEPARATOR}|$)")
OLD = re.compile(rf"(?:{SEPARATOR}|^)(draft|old|wip|entwurf|deprecated|obsolete)(?={SEPARATOR}|$)")


@dataclass(frozen=True, slots=True)
class Label:
    """What a file name says of the version in it."""

    family: str
    """The name without what tells versions apart."""
    rank: tuple[tuple[int, ...], str, int, int]
    """(version numbers, date, state: draft -1, final 1 and up, copy number): a later version has a higher one."""


def label(path: str) -> Label:
    """Read the version off a path's last part; the folder and the extension are part of the family."""
    folder, _, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    stem = stem.casefold()
    numbers: tuple[int, ...] = ()
    date = ""
    state = copy = 0
    if found := VERSION.search(stem):
        numbers = tuple(int(part) for part in re.split(r"[._]", found[1]))
        stem = VERSION.sub(" ", stem)
    if found := DATE.search(stem):
        date = "-".join(part for part in found.groups() if part)
        stem = DATE.sub(" ", stem)
    for found in FINAL.finditer(stem):
        state = max(state, 1 + int(found[2] or 0))
    if OLD.search(stem):
        state = -1
    stem = OLD.sub(" ", FINAL.sub(" ", FINAL.sub(" ", stem)))
    if found := COPY.search(stem):
        copy = int(found[1] or found[2] or 1)
        stem = COPY.sub(" ", stem)
    base = " ".join(re.split(rf"{SEPARATOR}+", stem)).strip()
    return Label(f"{folder}/{base}.{extension.casefold()}", (numbers, date, state, copy))


@dataclass(frozen=True, slots=True)
class Superseded:
    """A document that a later version of it replaces. Numbers are places in the list that was given."""

    removed: int
    kept: int
    jaccard: float


def superseded(
    names: Sequence[tuple[str, str]],
    dates: Sequence[str],
    jaccard: Callable[[int, int], float],
    threshold: float,
) -> list[Superseded]:
    """Return the documents that a newer version of the same family replaces.

    Two documents are versions of one when source, folder and name agree but for version marks, and their texts have a
    Jaccard of at least `threshold`. A later version number counts first, then a date in the name, then "final" and
    "draft", then when the file was changed.

    Args:
        names: (source, path) of each document, in an order that does not depend on how they were found.
        dates: when each was last changed, ISO 8601, or "".
        jaccard: of two documents' texts.
        threshold: from 0 to 1.
    """
    members: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    labels = [label(path) for _, path in names]
    for place, (source, _) in enumerate(names):
        members[source, labels[place].family].append(place)
    found = []
    for places in members.values():
        # Without a mark that differs nothing says which is newer; two parts of one file are no versions.
        if len({(labels[place].rank, dates[place]) for place in places}) < 2:
            continue
        places.sort(key=lambda place: (labels[place].rank, dates[place], names[place][1]))
        newest = places[-1]
        for place in places[:-1]:
            alike = jaccard(place, newest)
            if alike >= threshold and names[place] != names[newest]:
                found.append(Superseded(place, newest, alike))
    return sorted(found, key=lambda one: one.removed)
