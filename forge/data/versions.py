"""Families of versions: which documents are states of one document, and which of them is the newest."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from forge.data.components import clusters
from forge.data.duplicates import Pair
from forge.data.naming import Name, in_old_folder, parse_name
from forge.data.statements import Stated

Ints = npt.NDArray[np.int64]

RELATED_JACCARD = 0.5
"""Two documents of one name or title are versions from here on when they state different versions or days."""
NAMED_JACCARD = 0.2
"""Two files of one name but for a version mark are versions from here on, as conf/data has it: the mark says it."""
DATED_JACCARD = 0.35
"""Two files of one name but for a date are versions from here on; minutes and reports of a series share less."""
MANY_OF_A_NAME = 64
"""A name that more documents share (index, readme) is no sign of anything."""


@dataclass(frozen=True, slots=True)
class Dated:
    """What versions are told by."""

    source: str
    path: str
    part: int
    title: str
    version: tuple[int, ...]
    """As the text states it."""
    day: date | None
    """As the text or its properties state it."""
    talk: bool


@dataclass(frozen=True, slots=True)
class Family:
    """Versions of one document, oldest first."""

    members: tuple[int, ...]
    why: str
    """What told their order."""

    @property
    def newest(self) -> int:
        """The number of the newest."""
        return self.members[-1]


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    document: Dated
    file: Name
    title: Name


def is_talk(mime: str) -> bool:
    """Return whether a type is that of messages and mail: they speak of other documents, not of themselves."""
    return any(word in mime for word in ("slack", "message", "mbox", "rfc822"))


def dated(source: str, path: str, part: int, title: str, date_given: str, mime: str, stated: Stated) -> Dated:
    """Return what is known of a document in curation, whose text says `stated`; `date_given` is '' or ISO 8601."""
    given = date.fromisoformat(date_given[: len("2024-01-05")]) if date_given else None
    day = stated.reviewed or stated.dated or given
    return Dated(source, path, part, title, stated.version, day, is_talk(mime))


class Kinship:
    """Tells which documents share a name or a title, and so may be versions of each other."""

    def __init__(self, documents: Sequence[Dated]) -> None:
        self.known = known = [_known(place, one) for place, one in enumerate(documents)]
        """Their names and titles, taken apart."""
        self._names = _shared([() if one.document.talk else one.file.stem for one in known])
        self._titles = _shared([() if one.document.talk else one.title.stem for one in known])

    @property
    def codes(self) -> tuple[Ints, Ints]:
        """Of each document a number for its name and one for its title; -1 for what is no sign of anything."""
        return self._names, self._titles

    def __call__(self, one: Ints, other: Ints) -> npt.NDArray[np.bool_]:
        """Return for each pair of places whether the two share either."""
        names, titles = self._names[one], self._titles[one]
        same_name = (names >= 0) & (names == self._names[other])
        same_title = (titles >= 0) & (titles == self._titles[other])
        return np.asarray(same_name | same_title)


def _shared(stems: Sequence[tuple[str, ...]]) -> Ints:
    """Return a number for each stem; -1 for what stands alone, or is shared by too many to be a sign."""
    counts = Counter(stems)
    numbers: dict[tuple[str, ...], int] = {}
    return np.array(
        [
            numbers.setdefault(stem, len(numbers)) if stem and 1 < counts[stem] <= MANY_OF_A_NAME else -1
            for stem in stems
        ],
        np.int64,
    )


def find_families(
    kin: Kinship,
    pairs: Iterable[Pair],
    exact: Iterable[Sequence[int]],
    jaccard: Callable[[int, int], float],
    named_jaccard: float = NAMED_JACCARD,
) -> list[Family]:
    """Return the families among documents; mail and chat have none, they quote each other.

    Args:
        kin: what is known of each; findings name them by their place.
        pairs: those of `kin` that have a Jaccard of at least RELATED_JACCARD.
        exact: groups of documents with one text.
        jaccard: of two documents.
        named_jaccard: documents of one name but for a version mark are versions from here on.
    """
    known = {one.number: one for one in kin.known if not one.document.talk}
    joined = [
        (pair.first, pair.second)
        for pair in pairs
        if pair.first in known
        and pair.second in known
        and _are_versions(known[pair.first], known[pair.second], pair.jaccard)
    ]
    joined += _by_name(known, jaccard, named_jaccard)
    copies = _copies_by_name(known, exact)
    return [_ordered([known[number] for number in group]) for group in clusters([*joined, *copies])]


def _known(number: int, document: Dated) -> _Known:
    full = document.path.rpartition("/")[2]
    stem, _, suffix = full.rpartition(".")
    if not (stem.strip(".") and suffix):  # no suffix, or a name that begins with its only dot
        stem = full
    # Rows and mails of one file share its name, which then says nothing.
    name = parse_name(stem if not document.part else "", in_old_folder(document.path))
    return _Known(number, document, name, parse_name(document.title))


def _are_versions(one: _Known, other: _Known, jaccard: float) -> bool:
    same_stem = bool(one.file.stem) and one.file.stem == other.file.stem
    same_title = bool(one.title.stem) and one.title.stem == other.title.stem
    if not (same_stem or same_title) or _are_of_two_days(one.file, other.file):
        return False
    if jaccard < RELATED_JACCARD:
        return False
    a, b = one.document, other.document
    if same_stem and (one.file.marks != other.file.marks or _differ(one.file.day, other.file.day)):
        return True
    if same_title and (one.title.marks != other.title.marks or _differ(one.title.day, other.title.day)):
        return True
    if a.version and b.version and a.version != b.version:
        return True
    return jaccard < 1 and _differ(a.day, b.day)


def _are_of_two_days(one: Name, other: Name) -> bool:
    return one.of_a_day and other.of_a_day and one.day != other.day


def _differ(one: date | None, other: date | None) -> bool:
    return one is not None and other is not None and one != other


def _by_name(
    known: dict[int, _Known], jaccard: Callable[[int, int], float], named_jaccard: float
) -> Iterator[tuple[int, int]]:
    """Yield neighbours among documents whose names differ in a version mark alone, though their texts differ much."""
    groups: dict[tuple[str, tuple[str, ...]], list[_Known]] = defaultdict(list)
    for one in known.values():
        if one.file.stem and not one.document.part:
            groups[one.document.source, one.file.stem].append(one)
    for group in groups.values():
        if not 2 <= len(group) <= MANY_OF_A_NAME:
            continue
        group.sort(
            key=lambda one: (one.file.numbers, one.file.rank, one.file.day or date.min, one.document.path)
        )
        for one, other in itertools.pairwise(group):
            pair = one.number, other.number
            if _are_of_two_days(one.file, other.file):
                continue
            if one.file.marks != other.file.marks:
                least = named_jaccard
            elif _differ(one.file.day, other.file.day):
                least = max(DATED_JACCARD, named_jaccard)
            else:
                continue
            if jaccard(*pair) >= least:
                yield pair


def _copies_by_name(known: dict[int, _Known], exact: Iterable[Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Yield exact copies that bear different version marks: `v2` that was made `final` as it was."""
    for group in exact:
        members = [known[number] for number in group if number in known]
        for other in members[1:]:
            one = members[0]
            if one.file.stem and one.file.stem == other.file.stem and one.file.marks != other.file.marks:
                yield one.number, other.number


def _ordered(members: list[_Known]) -> Family:
    """Put versions in order by the best sign that all of them bear, the next ones breaking ties."""

    def have(values: Sequence[object]) -> bool:
        return all(values) and len(set(values)) > 1

    numbers = [one.file.numbers or one.title.numbers for one in members]
    days = [one.file.day or one.title.day for one in members]
    stated = [one.document.version for one in members]
    own_days = [one.document.day for one in members]
    ranks = [one.file.rank or one.title.rank for one in members]
    signs: list[tuple[str, list[object]]] = []
    if have(numbers):
        signs.append(("version numbers in the names", list(numbers)))
    if have(days):
        signs.append(("dates in the names", list(days)))
    if have(stated):
        signs.append(("versions stated in the text", list(stated)))
    if len(set(ranks)) > 1:
        signs.append(("words like draft and final in the names", list(ranks)))
    if have(own_days):
        signs.append(("dates the documents state", list(own_days)))
    if any(numbers):
        signs.append(("version numbers in some of the names", [one or () for one in numbers]))
    if any(own_days):
        signs.append(("dates some of the documents state", [one or date.min for one in own_days]))
    order = sorted(
        range(len(members)),
        key=lambda place: (*(values[place] for _, values in signs), members[place].document.path),
    )
    why = signs[0][0] if signs else "no sign but their paths"
    return Family(tuple(members[place].number for place in order), why)
