"""What is known of all documents after a pass, in the order of their ids; the texts stay on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data.passes import Notes
from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]


class StoredSets(Sequence[Uint64]):
    """Shingle sets in files, read where they are looked at."""

    def __init__(self, files: list[Path], file_of: Ints, starts: Ints, counts: Ints) -> None:
        self._files = [
            np.memmap(path, np.uint64, "r") if path.stat().st_size else np.empty(0, np.uint64)
            for path in files
        ]
        self._file_of, self._starts, self.counts = file_of, starts, counts
        """`counts`: elements of each set."""

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place: int) -> Uint64:  # type: ignore[override]
        start = self._starts[place]
        return np.asarray(self._files[self._file_of[place]][start : start + self.counts[place]])

    def take(self, places: Ints) -> StoredSets:
        """Return the sets at `places`, in that order."""
        chosen = object.__new__(StoredSets)
        chosen._files = self._files
        chosen._file_of, chosen._starts = self._file_of[places], self._starts[places]
        chosen.counts = self.counts[places]
        return chosen


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
    shingles: StoredSets | None = None

    def __len__(self) -> int:
        return len(self.document_ids)

    def shingles_of(self, some: Roster) -> StoredSets:
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
    ):
        flat = [one for part in notes for one in getattr(part, name)]
        setattr(roster, name, [flat[place] for place in order] if flat else [])
    noted = [part for part in notes if part.shingles_path is not None]
    if noted:
        counts = [np.array(part.shingle_counts, np.int64) for part in noted]
        starts = [np.cumsum(count) - count for count in counts]
        file_of = np.repeat(np.arange(len(noted)), [len(count) for count in counts])
        sets = StoredSets(
            [part.shingles_path for part in noted if part.shingles_path is not None],
            file_of,
            np.concatenate(starts),
            np.concatenate(counts),
        )
        roster.shingles = sets.take(np.array(order, np.int64))
    return roster
