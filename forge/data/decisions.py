"""The steps of curation that look at all documents: what goes, decided from notes alone."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from forge.data.columns import digest_keys
from forge.data.digests import same_hashes
from forge.data.duplicates import exact_duplicates, near_duplicates, related_by_name
from forge.data.joins import Joins
from forge.data.paragraphs import repeated
from forge.data.records import SET_ASIDE
from forge.data.roster import Roster
from forge.data.versions import RELATED_JACCARD, Kinship, find_families
from forge.errors import StageError
from forge.progress import Progress

Ints = npt.NDArray[np.int64]
PARAGRAPHS = b"forge_paragraphs"
BLOCK_ROWS = 10_000
"""Documents that objects are made of at once."""
LEVELLED_WORDS = 4
"""Of 8 bytes each, in the hash of a text that exact duplicates share."""


@dataclass
class Decided:
    """What the next pass does to the documents."""

    aside: list[pa.Table] = field(default_factory=list)
    """Rows of SET_ASIDE for the documents that go."""
    paragraphs: dict[str, list[int]] = field(default_factory=dict)
    """Paragraphs to take out, by document."""

    @property
    def removed(self) -> pa.ChunkedArray:
        """The ids of the documents that go."""
        return pa.concat_tables([SET_ASIDE.empty_table(), *self.aside])["document_id"]


def write_decided(path: Path, decided: Decided) -> None:
    """Write what was decided to a file."""
    table = pa.concat_tables([SET_ASIDE.empty_table(), *decided.aside])
    table = table.replace_schema_metadata({PARAGRAPHS: json.dumps(decided.paragraphs)})
    beside = path.with_name(f".{path.name}")
    with ipc.new_file(beside, table.schema) as file:
        file.write_table(table)
    beside.replace(path)


def read_decided(path: Path) -> Decided:
    """Return what `write_decided` wrote, mapped: nobody looks at most of it before it is written to the corpus."""
    with pa.memory_map(str(path)) as stored, ipc.open_file(stored) as file:
        table = file.read_all()
    paragraphs = json.loads(table.schema.metadata[PARAGRAPHS])
    return Decided([table.replace_schema_metadata(None)], paragraphs)


@dataclass
class _Table:
    """The documents that earlier decisions of the same pass have left."""

    roster: Roster
    places: Ints
    parameters: dict[str, Any]
    progress: Progress
    joins: Joins
    decided: Decided = field(default_factory=Decided)

    def pick(self, name: str) -> pa.ChunkedArray:
        """Return a column of the documents that are left."""
        return self.left[name]

    @property
    def left(self) -> Roster:
        """The documents that are left."""
        return self.roster.at(self.places)

    def sizes(self) -> Ints:
        return self.left.numbers("size_bytes")

    def preference(self) -> Ints:
        """Return the rank of each document among those to keep: longest first, then smallest id."""
        sizes = self.sizes()
        ranks = np.empty(len(sizes), np.int64)
        # The sort is stable, and ids ascend.
        ranks[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
        return ranks

    def set_aside(
        self,
        gone: Ints,
        step: str,
        reason: str,
        details: Iterable[str],
        scores: npt.NDArray[np.float64],
        kept: Ints | None = None,
    ) -> None:
        """Set documents aside; `kept` are the places of those that stay for them."""
        ids, paths = self.pick("document_id"), self.pick("path")
        columns = [
            ids.take(pa.array(gone)),
            paths.take(pa.array(gone)),
            pa.repeat(step, len(gone)),
            pa.repeat(reason, len(gone)),
            _column(details),
            pa.array(scores, pa.float64()),
            pa.nulls(len(gone), pa.string()) if kept is None else ids.take(pa.array(kept)),
        ]
        self.decided.aside.append(pa.table(columns, schema=SET_ASIDE))
        stays = np.ones(len(self.places), np.bool_)
        stays[gone] = False
        self.places = self.places[stays]


def decide(
    steps: tuple[str, ...], roster: Roster, parameters: dict[str, Any], progress: Progress, joins: Joins
) -> Decided:
    """Carry out `steps` in their order, each on what the one before has left."""
    table = _Table(roster, np.arange(len(roster)), parameters, progress, joins)
    for step in steps:
        if step in _DECISIONS:
            _DECISIONS[step](table)
    return table.decided


def _values(column: pa.ChunkedArray, places: Ints) -> Iterator[str]:
    """Yield the values at some places: there may be millions, and an object for each is ten times its bytes."""
    for first in range(0, len(places), BLOCK_ROWS):
        yield from column.take(pa.array(places[first : first + BLOCK_ROWS])).to_pylist()


def _column(values: Iterable[str]) -> pa.ChunkedArray:
    """Return values as a column, made a block at a time."""
    coming = iter(values)
    blocks = iter(lambda: list(itertools.islice(coming, BLOCK_ROWS)), [])
    return pa.chunked_array([pa.array(block, pa.string()) for block in blocks], pa.string())


def _exact(table: _Table) -> None:
    codes, _ = same_hashes(digest_keys(table.pick("levelled"), LEVELLED_WORDS))
    found = exact_duplicates(codes, table.preference())
    paths = _values(table.pick("path"), found.kept)
    details = (f"the text of {path}, case and white space aside" for path in paths)
    table.set_aside(found.removed, "exact_duplicates", "exact duplicate", details, found.jaccards, found.kept)


def _near(table: _Table) -> None:
    found = near_duplicates(
        table.left.shingles(),
        table.preference(),
        table.parameters["near_duplicate_jaccard"],
        table.progress,
        table.joins,
    )
    words = table.parameters["shingle_words"]
    ids, paths = (_values(table.pick(name), found.closest) for name in ("document_id", "path"))
    rows = zip(found.jaccards, ids, paths, strict=True)
    details = (
        f"Jaccard {jaccard:.4f} with {closest} ({path}), runs of {words} words"
        for jaccard, closest, path in rows
    )
    table.set_aside(found.removed, "near_duplicates", "near duplicate", details, found.jaccards, found.kept)


def _superseded(table: _Table) -> None:
    sets = table.left.shingles()
    paths = table.pick("path")

    def jaccard(one: int, two: int) -> float:
        shared = len(np.intersect1d(sets[one], sets[two], assume_unique=True))
        return shared / max(1, int(sets.counts[one] + sets.counts[two]) - shared)

    kin = Kinship(table.left.versions())
    pairs = related_by_name(sets, kin.codes, RELATED_JACCARD)
    families = find_families(kin, pairs, (), jaccard, table.parameters["superseded_jaccard"])
    rows = [
        (older, family.newest, family.why, jaccard(older, family.newest))
        for family in families
        for older in family.members[:-1]
    ]
    details = [
        f"{paths[newest].as_py()} is newer by {why}, Jaccard {alike:.4f}" for _, newest, why, alike in rows
    ]
    gone, kept = (np.array([row[place] for row in rows], np.int64) for place in (0, 1))
    scores = np.array([alike for *_, alike in rows], np.float64)
    table.set_aside(gone, "superseded", "superseded", details, scores, kept)


def _paragraphs(table: _Table) -> None:
    found = repeated(table.left.paragraphs(), table.parameters["max_paragraph_documents"])
    ids = table.pick("document_id").take(pa.array(list(found), pa.int64())).to_pylist()
    table.decided.paragraphs |= {
        document_id: gone.tolist() for document_id, gone in zip(ids, found.values(), strict=True)
    }


def _cap(table: _Table) -> None:
    """Keep of each source what its cap has room for; ids are hashes, so that is a fair sample."""
    caps = table.parameters["source_cap_bytes"]
    if caps is None:
        raise StageError("data.source_cap_bytes: is null and data.curate has `cap`: give bytes")
    sizes = table.sizes()
    used: defaultdict[str, int] = defaultdict(int)
    gone, details = [], []
    for place, (source, size) in enumerate(
        zip(table.pick("source").to_pylist(), sizes.tolist(), strict=True)
    ):
        cap = caps.get(source) if isinstance(caps, dict) else caps
        if cap is not None and used[source] + size > cap:
            details.append(f"its source has {used[source]} bytes without it, source_cap_bytes is {cap}")
            gone.append(place)
        else:
            used[source] += size
    places = np.array(gone, np.int64)
    table.set_aside(places, "cap", "over the cap", details, sizes[places].astype(np.float64))


_DECISIONS: dict[str, Callable[[_Table], None]] = {
    "exact_duplicates": _exact,
    "near_duplicates": _near,
    "superseded": _superseded,
    "paragraphs": _paragraphs,
    "cap": _cap,
}
