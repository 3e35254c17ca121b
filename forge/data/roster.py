"""What is known of all documents after a pass, in the order of their ids. It stays on disk, as the texts do: of each
document its place in the notes is held, and a column is read when somebody asks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from forge.data.columns import digest_keys, flat_lists
from forge.data.notes import NOTED, Notes, noted
from forge.data.outcomes import stated_of
from forge.data.sets import Ints, Sets, join_files
from forge.data.versions import Dated, dated
from forge.data.word_codes import Uint64

DATED = ("source", "path", "part", "title", "date", "mime", "stated")


@dataclass(frozen=True)
class Roster:
    """Documents by place, in the order of their ids."""

    notes: Sequence[Notes]
    """Of all tasks of a pass."""
    order: npt.NDArray[np.uint32]
    """Where each document is in the notes, task after task."""
    joined: Path
    """The file that has the shingles of all, where they were asked for."""

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Return a column of `notes.NOTED`."""
        return self._rows([name])[name]

    def numbers(self, name: str) -> Ints:
        """Return a column of numbers."""
        return np.asarray(pa.concat_arrays(self[name].chunks or [pa.array([], pa.int64())]))

    def paragraphs(self) -> list[Uint64]:
        """Return the hashes of the paragraphs of each."""
        flat, borders = flat_lists(self["paragraphs"])
        return [flat[begin:end] for begin, end in itertools.pairwise(borders.tolist())]

    def versions(self) -> list[Dated]:
        """Return what the versions of each are told by."""
        table = self._rows(DATED)
        columns = (table[name].to_pylist() for name in DATED)
        return [
            dated(source, path, part, title, day, mime, stated_of(stated))
            for source, path, part, title, day, mime, stated in zip(*columns, strict=True)
        ]

    def shingles(self) -> Sets:
        """Return the shingle set of each."""
        table = noted(self.notes, ["shingle_count", "shingles"])
        counts = np.asarray(table["shingle_count"])
        return Sets.in_file(self.joined, counts, digest_keys(table["shingles"])).take(self.order)

    def at(self, places: Ints) -> Roster:
        """Return the documents at some places."""
        return replace(self, order=self.order[places])

    def without(self, removed: pa.ChunkedArray) -> Roster:
        """Return what is left when the documents of some ids are gone."""
        if not len(removed):
            return self
        return self.at(np.flatnonzero(~np.asarray(pc.is_in(self["document_id"], removed.combine_chunks()))))

    def shingles_of(self, some: Roster) -> Sets:
        """Return the shingle sets of the documents of `some`, all of which are here."""
        if some.notes is self.notes:
            return some.shingles()
        own = pc.index_in(some["document_id"], self["document_id"].combine_chunks())
        return self.at(np.asarray(own).astype(np.int64)).shingles()

    def _rows(self, names: Sequence[str]) -> pa.Table:
        if not self.notes:
            return pa.table({name: pa.array([], NOTED[name]) for name in names})
        return noted(self.notes, names).take(pa.array(self.order))


def gather(notes: Sequence[Notes], shingles: Sequence[Path], joined: Path) -> Roster:
    """Put what the workers noted in the order of the documents' ids.

    Args:
        notes: of all tasks of a pass.
        shingles: the tasks' files of shingles; none where they were not asked for.
        joined: the file that those are put together in.
    """
    if shingles:
        join_files(shingles, joined)
    if not notes:
        return Roster(notes, np.empty(0, np.uint32), joined)
    order = pc.sort_indices(noted(notes, ["document_id"])["document_id"])
    return Roster(notes, np.asarray(order).astype(np.uint32), joined)
