"""What is known of all documents after a pass, in the order of their ids; the texts stay on disk."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge.data.columns import digest_keys, flat_lists
from forge.data.notes import Notes, noted, noted_names
from forge.data.outcomes import stated_of
from forge.data.sets import Ints, Sets
from forge.data.versions import Dated, dated
from forge.data.word_codes import Uint64

COLUMNS = ("document_id", "source", "path", "size_bytes", "words", "levelled")
DATED = ("source", "path", "part", "title", "date", "mime", "stated")


@dataclass
class Roster:
    """Documents by place, in the order of their ids."""

    columns: pa.Table = field(default_factory=lambda: pa.table({"document_id": pa.array([], pa.string())}))
    """Those of COLUMNS that were asked for: some bytes a document, where objects would take a hundred each."""
    paragraphs: list[Uint64] = field(default_factory=list)
    """Hashes of the paragraphs of each; empty where they were not asked for."""
    versions: list[Dated] = field(default_factory=list)
    """Empty where they were not asked for."""
    shingles: Sets | None = None

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Return a column."""
        return self.columns[name]

    def numbers(self, name: str) -> Ints:
        """Return a column of numbers."""
        return np.asarray(pa.concat_arrays(self.columns[name].chunks or [pa.array([], pa.int64())]))

    def without(self, removed: pa.ChunkedArray) -> Roster:
        """Return what is left when the documents of some ids are gone."""
        if not len(removed):
            return self
        places = np.flatnonzero(~np.asarray(pc.is_in(self["document_id"], removed.combine_chunks())))
        return Roster(
            self.columns.take(pa.array(places)).combine_chunks(),
            list(map(self.paragraphs.__getitem__, places.tolist())) if self.paragraphs else [],
            list(map(self.versions.__getitem__, places.tolist())) if self.versions else [],
            None if self.shingles is None else self.shingles.take(places),
        )

    def shingles_of(self, some: Roster) -> Sets:
        """Return the shingle sets of the documents of `some`, all of which are here."""
        assert self.shingles is not None
        if len(some) == len(self):
            return self.shingles
        own = pc.index_in(some["document_id"], self["document_id"].combine_chunks())
        return self.shingles.take(np.asarray(own).astype(np.int64))


def gather(notes: list[Notes], shingles: list[Path], joined: Path) -> Roster:
    """Return what the workers noted, in the order of the documents' ids: a column at a time.

    Args:
        notes: of all tasks of a pass.
        shingles: the tasks' files of shingles; none where they were not asked for.
        joined: the file that those are put together in.
    """
    names = noted_names(notes)
    if not names:
        return Roster()
    order = pc.sort_indices(noted(notes, ["document_id"])["document_id"])

    def ordered(name: str) -> pa.ChunkedArray:
        return noted(notes, [name])[name].take(order)

    columns = {}
    for name in (one for one in COLUMNS if one in names):
        own = ordered(name)
        columns[name] = own.dictionary_encode() if name == "source" else own
    roster = Roster(pa.table(columns).combine_chunks())
    if "paragraphs" in names:
        flat, borders = flat_lists(ordered("paragraphs"))
        roster.paragraphs = [flat[begin:end] for begin, end in itertools.pairwise(borders.tolist())]
    if "stated" in names:
        roster.versions = _versions(noted(notes, DATED).take(order))
    if shingles:
        found = noted(notes, ["shingle_count", "shingles"])
        counts = np.asarray(found["shingle_count"])
        stored = Sets.in_files(shingles, joined, counts, digest_keys(found["shingles"]))
        roster.shingles = stored.take(np.asarray(order).astype(np.int64))
    return roster


def _versions(table: pa.Table) -> list[Dated]:
    columns = (table[name].to_pylist() for name in DATED)
    return [
        dated(source, path, part, title, day, mime, stated_of(stated))
        for source, path, part, title, day, mime, stated in zip(*columns, strict=True)
    ]
