"""What a corpus remembers for the next one: the shingles of each text, and which of them hang together.

    signatures.npy    (6, n) uint64: hash of a text (two), where its shingles begin, how many, their hash (two); sorted
                      by the hash of the text
    signatures.u64    the shingles, 8 bytes each: about 1.3 times the bytes of the texts
    signatures.json   how they were made
    near_duplicates.*, families.*   the joins (`forge.data.join_files`)
    elements*         which sets have an element (`forge.data.elements`)
    outcomes-<pass>.arrow   what the steps on one document made of it (`forge.data.outcomes`)

A text that an earlier corpus has is not shingled again, and two of them are not compared again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from forge.data.columns import digest_keys
from forge.data.elements import LISTING
from forge.data.made_alike import made_alike
from forge.data.notes import Notes, noted
from forge.data.sets import Ints, read_elements
from forge.data.word_codes import Uint64
from forge.files import link_or_copy

INDEX, SHINGLES, HOW = "signatures.npy", "signatures.u64", "signatures.json"
REMEMBERED = ("near_duplicates.*", "families.*", "outcomes-*.arrow", "elements-*", LISTING)
"""Names of what other rooms keep, but for where the shingles are."""
MOST_CORPORA = 4
"""Earlier corpora that are looked into, newest first."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the corpora before this one know."""

    how: str
    """The code and the parameters that make shingles."""
    corpus: Path | None
    """The one that knows most."""


def known_of(folders: Sequence[Path], lake: Path, how: str) -> Known:
    """Return what of corpus artifacts helps with `lake`: the one that shares most documents with it."""
    best, most = None, 0
    for folder in made_alike(folders, HOW, how)[:MOST_CORPORA]:
        try:
            own, its = (
                parquet.ParquetFile(path).read(columns=["document_id"])["document_id"]
                for path in (lake / "lake.parquet", folder / "corpus.parquet")
            )
        except (OSError, KeyError, pa.ArrowException):
            continue
        shared = pc.sum(pc.is_in(own, its.combine_chunks())).as_py() or 0
        if shared > most:
            best, most = folder, shared
    return Known(how, best)


class Signatures:
    """The shingles of the texts of an earlier corpus, in files."""

    def __init__(self, folder: Path) -> None:
        self._index = np.load(folder / INDEX, mmap_mode="r")
        self._shingles = folder / SHINGLES

    def find(self, wanted: Uint64) -> list[tuple[Uint64, bytes] | None]:
        """Return the shingles of each of some texts, known by (n, 2), and what the set is known by; None where they are
        not known.
        """
        if not self._index.shape[1] or not len(wanted):
            return [None] * len(wanted)
        # Two texts that share 64 bits of a hash: the second of them is shingled again.
        places = np.minimum(np.searchsorted(self._index[0], wanted[:, 0]), self._index.shape[1] - 1)
        there = (self._index[0, places] == wanted[:, 0]) & (self._index[1, places] == wanted[:, 1])
        own = places[there]
        starts, counts = self._index[2:4, own].astype(np.int64)
        ends = np.cumsum(counts)
        flat = read_elements(self._shingles, starts, counts)
        names = np.ascontiguousarray(self._index[4:, own].T)
        found = (
            (flat[begin:end], name.tobytes())
            for begin, end, name in zip((ends - counts).tolist(), ends.tolist(), names, strict=True)
        )
        return [next(found) if known else None for known in there.tolist()]


@functools.lru_cache(maxsize=1)
def signatures_of(folder: Path) -> Signatures:
    """Return the shingles an earlier corpus has; they stay open in this process."""
    return Signatures(folder)


def write_index(path: Path, notes: Sequence[Notes]) -> None:
    """Write where the shingles of each text are, in the files of all tasks one after the other."""
    keys = digest_keys(noted(notes, ["text"])["text"])
    # The sort is stable: of one text the first shingles are the first.
    order = np.lexsort(keys.T[::-1])
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        described = {"descr": "<u8", "fortran_order": False, "shape": (6, len(order))}
        np.lib.format.write_array_header_1_0(file, described)
        # A row at a time: there may be millions of texts.
        _write_rows(file, keys, order)
        counts = np.asarray(noted(notes, ["shingle_count"])["shingle_count"]).astype(np.uint64)
        starts = np.cumsum(counts, dtype=np.uint64) - counts
        _write_rows(file, np.stack([starts, counts], axis=1), order)
        _write_rows(file, digest_keys(noted(notes, ["shingles"])["shingles"]), order)
    beside.replace(path)


def _write_rows(file: BinaryIO, columns: Uint64, order: Ints) -> None:
    for column in columns.T:
        file.write(column[order].data)


def keep(work: Path, shingles: Path, out: Path, how: str) -> None:
    """Put what the next corpus can use into the artifact."""
    for path in (path for pattern in (INDEX, *REMEMBERED) for path in work.glob(pattern)):
        link_or_copy(path, out / path.name)
    link_or_copy(shingles, out / SHINGLES)
    (out / HOW).write_text(json.dumps(how), encoding="utf-8")
