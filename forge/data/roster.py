"""What is known of all documents after a pass, in the order of their ids; the texts stay on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from forge.data.notes import Notes
from forge.data.sets import Sets
from forge.data.versions import Dated
from forge.data.word_codes import Uint64

LISTS = (
    "document_ids",
    "sources",
    "paths",
    "dates",
    "sizes_bytes",
    "words",
    "levelled",
    "paragraphs",
    "versions",
)


@dataclass
class Roster:
    """Documents by place, in the order of their ids. A list is empty where it was not asked for."""

    document_ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    sizes_bytes: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    levelled: list[bytes] = field(default_factory=list)
    paragraphs: list[Uint64] = field(default_factory=list)
    versions: list[Dated] = field(default_factory=list)
    shingles: Sets | None = None

    def __len__(self) -> int:
        return len(self.document_ids)

    def without(self, removed: set[str]) -> Roster:
        """Return the documents that are not `removed`."""
        places = [place for place, one in enumerate(self.document_ids) if one not in removed]
        left = Roster(
            shingles=None if self.shingles is None else self.shingles.take(np.array(places, np.int64))
        )
        for name in LISTS:
            values = getattr(self, name)
            setattr(left, name, list(map(values.__getitem__, places)) if values else [])
        return left

    def shingles_of(self, some: Roster) -> Sets:
        """Return the shingle sets of the documents of `some`, all of which are here."""
        assert self.shingles is not None
        place_of = {document_id: place for place, document_id in enumerate(self.document_ids)}
        places = np.fromiter((place_of[one] for one in some.document_ids), np.int64, len(some))
        return self.shingles.take(places)


def gather(notes: list[Notes], shingles: list[Path], joined: Path) -> Roster:
    """Return what the workers noted, in the order of the documents' ids.

    Args:
        notes: of all tasks of a pass.
        shingles: the tasks' files of shingles; none where they were not asked for.
        joined: the file that those are put together in.
    """
    ids = list(chain.from_iterable(part.document_ids for part in notes))
    order = sorted(range(len(ids)), key=ids.__getitem__)
    roster = Roster()
    for name in LISTS:
        flat = list(chain.from_iterable(getattr(part, name) for part in notes))
        setattr(roster, name, list(map(flat.__getitem__, order)) if flat else [])
    if shingles:
        counts = np.array([count for part in notes for count in part.shingle_counts], np.int64)
        digests = np.frombuffer(b"".join(one for part in notes for one in part.sets), np.uint64)
        stored = Sets.in_files(shingles, joined, counts, digests.reshape(-1, 2))
        roster.shingles = stored.take(np.array(order, np.int64))
    return roster
