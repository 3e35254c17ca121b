"""What is known of all documents after a pass, in the order of their ids; the texts stay on disk."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from forge.data.passes import Notes
from forge.data.sets import Sets
from forge.data.versions import Dated
from forge.data.word_codes import Uint64


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

    def shingles_of(self, some: Roster) -> Sets:
        """Return the shingle sets of the documents of `some`, all of which are here."""
        assert self.shingles is not None
        place_of = {document_id: place for place, document_id in enumerate(self.document_ids)}
        places = np.fromiter((place_of[one] for one in some.document_ids), np.int64, len(some))
        return self.shingles.take(places)


def gather(notes: list[Notes]) -> Roster:
    """Return what the workers noted, in the order of the documents' ids."""
    ids = [one for part in notes for one in part.document_ids]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    roster = Roster()
    for name in (
        "document_ids",
        "sources",
        "paths",
        "dates",
        "sizes_bytes",
        "words",
        "levelled",
        "paragraphs",
        "versions",
    ):
        flat = [one for part in notes for one in getattr(part, name)]
        setattr(roster, name, [flat[place] for place in order] if flat else [])
    noted = [part for part in notes if part.shingles_path is not None]
    if noted:
        counts = np.array([count for part in noted for count in part.shingle_counts], np.int64)
        files = [part.shingles_path for part in noted if part.shingles_path is not None]
        roster.shingles = Sets.in_files(files, counts).take(np.array(order, np.int64))
    return roster
