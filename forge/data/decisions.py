"""The steps of curation that look at all documents: what goes, decided from notes alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.duplicates import Duplicate, exact_duplicates, near_duplicates, related_by_name
from forge.data.joins import Joins
from forge.data.notes import Notes
from forge.data.paragraphs import repeated
from forge.data.roster import Roster
from forge.data.versions import RELATED_JACCARD, Kinship, find_families
from forge.errors import StageError
from forge.progress import Progress

Ints = npt.NDArray[np.int64]


@dataclass
class Records:
    """Every document set aside and every change made, as rows of the tables in `corpus_tables`."""

    aside: list[tuple[Any, ...]] = field(default_factory=list)
    changes: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, notes: list[Notes]) -> None:
        """Add what the workers recorded."""
        for one in notes:
            self.aside += one.aside
            self.changes += one.changes
            one.aside, one.changes = [], []


@dataclass
class Decided:
    """What the next pass does to the documents."""

    removed: set[str] = field(default_factory=set)
    paragraphs: dict[str, list[int]] = field(default_factory=dict)
    """Paragraphs to take out, by document."""


@dataclass
class _Table:
    """The documents that earlier decisions of the same pass have left."""

    roster: Roster
    places: Ints
    parameters: dict[str, Any]
    records: Records
    progress: Progress
    joins: Joins
    decided: Decided = field(default_factory=Decided)

    def pick(self, values: list[Any]) -> list[Any]:
        return list(map(values.__getitem__, self.places.tolist()))

    def preference(self) -> list[int]:
        """Return the rank of each document among those to keep: longest first, then smallest id."""
        sizes = self.pick(self.roster.sizes_bytes)
        order = sorted(range(len(sizes)), key=lambda place: -sizes[place])  # stable, and ids ascend
        ranks = [0] * len(sizes)
        for rank, place in enumerate(order):
            ranks[place] = rank
        return ranks

    def set_aside(self, rows: list[tuple[int, str, str, str, float, int | None]]) -> None:
        """Set documents aside: (place, step, reason, detail, score, place of the one that stays for it)."""
        ids, paths = self.pick(self.roster.document_ids), self.pick(self.roster.paths)
        gone = np.zeros(len(self.places), np.bool_)
        for place, step, reason, detail, score, kept in rows:
            gone[place] = True
            self.decided.removed.add(ids[place])
            stands_for = None if kept is None else ids[kept]
            self.records.aside.append((ids[place], paths[place], step, reason, detail, score, stands_for))
        self.places = self.places[~gone]


def decide(
    steps: tuple[str, ...],
    roster: Roster,
    parameters: dict[str, Any],
    records: Records,
    progress: Progress,
    joins: Joins,
) -> Decided:
    """Carry out `steps` in their order, each on what the one before has left."""
    table = _Table(roster, np.arange(len(roster)), parameters, records, progress, joins)
    for step in steps:
        if step in _DECISIONS:
            _DECISIONS[step](table)
    return table.decided


def _exact(table: _Table) -> None:
    paths = table.pick(table.roster.paths)
    found = exact_duplicates(table.pick(table.roster.levelled), table.preference())
    table.set_aside(
        [
            (
                one.removed,
                "exact_duplicates",
                "exact duplicate",
                f"the text of {paths[one.kept]}, case and white space aside",
                1.0,
                one.kept,
            )
            for one in found
        ]
    )


def _near(table: _Table) -> None:
    assert table.roster.shingles is not None
    ids, paths = table.pick(table.roster.document_ids), table.pick(table.roster.paths)
    found = near_duplicates(
        table.roster.shingles.take(table.places),
        table.preference(),
        table.parameters["near_duplicate_jaccard"],
        table.progress,
        table.joins,
    )

    def detail(one: Duplicate) -> str:
        return (
            f"Jaccard {one.jaccard:.4f} with {ids[one.closest]} ({paths[one.closest]}), "
            f"runs of {table.parameters['shingle_words']} words"
        )

    table.set_aside(
        [
            (one.removed, "near_duplicates", "near duplicate", detail(one), one.jaccard, one.kept)
            for one in found
        ]
    )


def _superseded(table: _Table) -> None:
    assert table.roster.shingles is not None
    sets = table.roster.shingles.take(table.places)
    paths = table.pick(table.roster.paths)

    def jaccard(one: int, two: int) -> float:
        shared = len(np.intersect1d(sets[one], sets[two], assume_unique=True))
        return shared / max(1, int(sets.counts[one] + sets.counts[two]) - shared)

    kin = Kinship(table.pick(table.roster.versions))
    pairs = related_by_name(sets, kin.codes, RELATED_JACCARD)
    families = find_families(kin, pairs, (), jaccard, table.parameters["superseded_jaccard"])
    rows: list[tuple[int, str, str, str, float, int | None]] = []
    for family in families:
        for older in family.members[:-1]:
            alike = jaccard(older, family.newest)
            detail = f"{paths[family.newest]} is newer by {family.why}, Jaccard {alike:.4f}"
            rows.append((older, "superseded", "superseded", detail, alike, family.newest))
    table.set_aside(rows)


def _paragraphs(table: _Table) -> None:
    ids = table.pick(table.roster.document_ids)
    found = repeated(table.pick(table.roster.paragraphs), table.parameters["max_paragraph_documents"])
    table.decided.paragraphs |= {ids[place]: gone.tolist() for place, gone in found.items()}


def _cap(table: _Table) -> None:
    """Keep of each source what `source_cap_bytes` has room for; ids are hashes, so that is a fair sample."""
    cap = table.parameters["source_cap_bytes"]
    if cap is None:
        raise StageError("data.source_cap_bytes: is null and data.curate has `cap`: give bytes")
    sizes = table.pick(table.roster.sizes_bytes)
    used: defaultdict[str, int] = defaultdict(int)
    rows: list[tuple[int, str, str, str, float, int | None]] = []
    for place, source in enumerate(table.pick(table.roster.sources)):
        if used[source] + sizes[place] > cap:
            detail = f"its source has {used[source]} bytes without it, source_cap_bytes is {cap}"
            rows.append((place, "cap", "over the cap", detail, float(sizes[place]), None))
        else:
            used[source] += sizes[place]
    table.set_aside(rows)


_DECISIONS: dict[str, Callable[[_Table], None]] = {
    "exact_duplicates": _exact,
    "near_duplicates": _near,
    "superseded": _superseded,
    "paragraphs": _paragraphs,
    "cap": _cap,
}


def reasons(records: Records) -> Counter[str]:
    """Return how many documents were set aside for each reason."""
    return Counter(row[3] for row in records.aside)
