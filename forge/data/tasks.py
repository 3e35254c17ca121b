"""What a worker does with one part of the documents of a pass, and the files that it starts from and leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc

from forge.data import boilerplate
from forge.data.columns import DIGEST
from forge.data.draft import text_digest
from forge.data.notes import Notes

BUCKET_BYTES = 8 * 1024 * 1024
MOST_BUCKETS = 1024

DRAFTS = pa.schema(
    [
        pa.field("document_id", pa.string()),
        pa.field("source", pa.string()),
        pa.field("path", pa.string()),
        pa.field("mime", pa.string()),
        pa.field("date", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("title", pa.string()),
        pa.field("part", pa.int64()),
        pa.field("digest", pa.binary(16)),
    ]
)

Piece = tuple[Path, int, int]
"""A part of a file: (path, where it begins, where it ends)."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the documents of a bucket lie: in as many pieces as the pass before had tasks, and they are a product."""

    folder: Path
    places: npt.NDArray[np.int64]
    """(n, 3): the number of a task, and where its piece begins and ends."""

    def __iter__(self) -> Iterator[Piece]:
        return ((texts_file(self.folder, number), begin, end) for number, begin, end in self.places.tolist())

    @property
    def bytes(self) -> int:
        """Bytes of all pieces."""
        return int((self.places[:, 2] - self.places[:, 1]).sum())


def texts_file(folder: Path, number: int) -> Path:
    """Return where a task writes the texts that are left."""
    return folder / f"{number:06}.arrow"


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker does with one part of the documents."""

    number: int
    lake: Path | None
    """The lake, of which row group `number` is meant; None for a bucket of the pass before."""
    bucket: Bucket | None
    edits: Path | None
    """What was decided of this bucket's documents."""
    lines: Path | None
    """Boilerplate to remove."""
    document_steps: tuple[str, ...]
    notes: frozenset[str]
    """What to note: 'exact', 'shingles', 'lines', 'paragraphs', 'words', 'versions'."""
    out: Path
    buckets: int
    parameters: dict[str, Any]
    size_bytes: int = 0
    """About, of the texts."""
    known: Path | None = None
    """An earlier corpus, whose shingles are used."""
    known_outcomes: Path | None = None
    """What an earlier corpus made of texts in this pass."""
    key: str | None = None
    """Of what is remembered of this pass; None remembers nothing."""

    @property
    def texts(self) -> Path:
        """Where the texts that are left are written."""
        return texts_file(self.out, self.number)

    @property
    def shingles(self) -> Path:
        """Where the shingles are written, where they are asked for."""
        return self.out / f"{self.number:06}.u64"

    @property
    def outcomes(self) -> Path:
        """Where is written what was made of each text, where that is to be remembered."""
        return self.out / f"{self.number:06}.outcomes"

    @property
    def noted(self) -> Path:
        """Where the notes are written."""
        return self.out / f"{self.number:06}.notes"


@dataclass(frozen=True, slots=True)
class Edits:
    """What was decided of the documents of one bucket."""

    removed: frozenset[str] = frozenset()
    paragraphs: dict[str, list[int]] = field(default_factory=dict)
    """Paragraphs to take out, by document."""
    lined: frozenset[str] = frozenset()
    """Documents that have boilerplate at their edges."""


def joined_shingles(folder: Path) -> Path:
    """Return where the shingles of all tasks of a pass are put together."""
    return folder / "shingles.u64"


def bucket_count(total_bytes: int) -> int:
    """Return how many buckets documents of `total_bytes` are put in."""
    return max(1, min(MOST_BUCKETS, -(-total_bytes // BUCKET_BYTES)))


def bucket_of(document_id: str, buckets: int) -> int:
    """Return the bucket of a document; buckets in order hold ids in order. Ids begin with eight hexadecimal digits."""
    return int(document_id[:8], 16) * buckets >> 32


def buckets_of(document_ids: pa.ChunkedArray, buckets: int) -> npt.NDArray[np.int64]:
    """Return the bucket of each of some documents."""
    first = bytes.fromhex("".join(pc.utf8_slice_codeunits(document_ids, 0, 8).to_pylist()))
    return np.frombuffer(first, ">u4").astype(np.int64) * buckets >> 32


def bucket_in(folder: Path, notes: Iterable[Notes], number: int) -> Bucket:
    """Return where a bucket of the pass in `folder` lies."""
    places = [(one.number, *one.offsets[number : number + 2]) for one in notes]
    rows = np.array(places, np.int64).reshape(-1, 3)
    return Bucket(folder, rows[rows[:, 1] < rows[:, 2]])


def read_bucket(pieces: Iterable[Piece]) -> pa.Table:
    """Return the documents of a bucket, in the order of their ids."""
    batches: list[pa.RecordBatch] = []
    for path, begin, end in pieces:
        with path.open("rb") as file:
            file.seek(begin)
            batches.extend(ipc.open_stream(file.read(end - begin)))
    documents = pa.Table.from_batches(batches, DRAFTS)
    ids = documents["document_id"]
    # What one task of a later pass wrote of a bucket is in order: to move texts takes longer than to look.
    if pc.all(pc.less_equal(ids.slice(0, max(len(ids) - 1, 0)), ids.slice(1))).as_py() is not False:
        return documents
    return documents.sort_by("document_id")


def with_digests(documents: pa.Table) -> pa.Table:
    """Find out what those texts are known by of which it is not known yet."""
    column = documents["digest"]
    if not column.null_count:
        return documents
    missing = column.is_null()
    found = [text_digest(text) for text in documents["text"].filter(missing).to_pylist()]
    whole = pc.replace_with_mask(column.combine_chunks(), missing.combine_chunks(), pa.array(found, DIGEST))
    return documents.set_column(DRAFTS.get_field_index("digest"), DRAFTS.field("digest"), whole)


def write_edits(folder: Path, buckets: int, edits: Edits) -> None:
    """Write what was decided of each bucket's documents."""
    content: list[dict[str, Any]] = [{"removed": [], "paragraphs": {}, "lined": []} for _ in range(buckets)]
    for name, ids in (("removed", edits.removed), ("lined", edits.lined)):
        for document_id in sorted(ids):
            content[bucket_of(document_id, buckets)][name].append(document_id)
    for document_id, places in edits.paragraphs.items():
        content[bucket_of(document_id, buckets)]["paragraphs"][document_id] = places
    folder.mkdir(exist_ok=True)
    for bucket, one in enumerate(content):
        (folder / str(bucket)).write_text(json.dumps(one), encoding="utf-8")


def read_edits(path: Path | None) -> Edits:
    """Return what `write_edits` wrote of a bucket."""
    if path is None:
        return Edits()
    content = json.loads(path.read_text(encoding="utf-8"))
    return Edits(frozenset(content["removed"]), content["paragraphs"], frozenset(content["lined"]))


def write_lines(path: Path, lines: boilerplate.Lines) -> None:
    """Write which lines are boilerplate."""
    content = {group: sorted(line.hex() for line in some) for group, some in lines.items()}
    path.write_text(json.dumps(content), encoding="utf-8")


def read_lines(path: Path | None) -> boilerplate.Lines | None:
    """Return what `write_lines` wrote."""
    if path is None:
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    return {group: frozenset(map(bytes.fromhex, some)) for group, some in content.items()}
