"""What is known of all documents after a pass, in the order of their ids; the texts stay on disk."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge.data.columns import digest_keys, flat_lists
from forge.data.notes import Notes
from forge.data.outcomes import stated_of
from forge.data.sets import Sets
from forge.data.versions import Dated, dated
from forge.data.word_codes import Uint64

LISTS = {
    "document_ids": "document_id",
    "sources": "source",
    "paths": "path",
    "sizes_bytes": "size_bytes",
    "words": "words",
    "levelled": "levelled",
    "paragraphs": "paragraphs",
    "versions": "stated",
}
"""List -> the column of what is noted that it is made from."""


@dataclass
class Roster:
    """Documents by place, in the order of their ids. A list is empty where it was not asked for."""

    document_ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
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
    table = pa.concat_tables([part.documents for part in notes])
    order = pc.sort_indices(table["document_id"])
    ordered = table.take(order)
    roster = Roster()
    for name, column in LISTS.items():
        if column in ordered.column_names:
            setattr(roster, name, _LISTED.get(name, _plain)(ordered, column))
    if shingles:
        counts = table["shingle_count"].to_numpy()
        stored = Sets.in_files(shingles, joined, counts, digest_keys(table["shingles"]))
        roster.shingles = stored.take(order.to_numpy().astype(np.int64))
    return roster


def _plain(ordered: pa.Table, column: str) -> list[Any]:
    values: list[Any] = ordered[column].to_pylist()
    return values


def _same(ordered: pa.Table, column: str) -> list[str]:
    """Return values of which few are different: each is in memory once."""
    return list(map(sys.intern, _plain(ordered, column)))


def _arrays(ordered: pa.Table, column: str) -> list[Uint64]:
    flat, borders = flat_lists(ordered[column])
    return [flat[begin:end] for begin, end in itertools.pairwise(borders.tolist())]


def _versions(ordered: pa.Table, column: str) -> list[Dated]:
    columns = (
        ordered[name].to_pylist() for name in ("source", "path", "part", "title", "date", "mime", column)
    )
    return [
        dated(source, path, part, title, day, mime, stated_of(stated))
        for source, path, part, title, day, mime, stated in zip(*columns, strict=True)
    ]


_LISTED: dict[str, Callable[[pa.Table, str], list[Any]]] = {
    "sources": _same,
    "paragraphs": _arrays,
    "versions": _versions,
}
