"""What earlier lakes read of the same files: an unchanged file is not read again.

A lake keeps readings.parquet: for each unit of reading (a file, or a Slack export that lies unpacked) its identity and
where its rows are in lake.parquet and set_aside.parquet. The identity is of the file's content, its path and how it is
read, so the rows are those that reading it again would give.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.batches import Batch
from forge.data.columns import Ints, digest_column, digest_keys
from forge.data.fingerprint import Hashes, Seen, SourceFingerprint, contents_digest, known_contents
from forge.data.listing import Listing
from forge.data.rows import DOCUMENTS, SET_ASIDE
from forge.data.word_codes import Uint64

Flags = npt.NDArray[np.bool_]

READINGS = pa.schema(
    [
        pa.field("identity", pa.binary(16), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("set_aside", pa.int64(), nullable=False),
        pa.field("files", pa.int64(), nullable=False),
        pa.field("files_with_documents", pa.int64(), nullable=False),
        pa.field("first_document", pa.int64(), nullable=False),
        pa.field("first_set_aside", pa.int64(), nullable=False),
    ]
)
FILE = "readings.parquet"
HOW = b"forge_how"
COUNTED = READINGS.names[1:5]
UNREADABLE = "unreadable"
"""The problem of a file that another try may read."""
BLOCK_FILES = 65_536
"""Files looked up at once."""
MOST_LAKES = 4
"""Earlier lakes that are looked into, newest first."""


def export_identity(batch: Batch, hashes: Hashes) -> bytes | None:
    """Return what identifies a Slack export and its content; None where that is not known without reading it."""
    digest = hashlib.sha256(f"{batch.source}\0{batch.export_root}".encode())
    for entry in batch.files:
        file = entry.file
        content = file.problem or hashes.get(file)
        if content is None or content == UNREADABLE:
            return None
        digest.update(f"\0{file.relative}\0{entry.earlier}\0{file.bytes}\0{content}".encode())
    return digest.digest()[:16]


@dataclass(frozen=True, slots=True)
class Known:
    """Units that follow each other, and whose rows follow each other in one earlier lake."""

    lake: EarlierLake
    keys: Uint64
    """(n, 2), their identities."""
    counts: Ints
    """(n, 4), of each COUNTED."""
    first_document: int
    first_set_aside: int
    entries: int
    """Of the listing."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Units:
    """Files of a source, each read by itself, or one export; and what earlier lakes know of them."""

    keys: Uint64
    """(n, 2), their identities."""
    named: Flags
    """Whether a unit has an identity."""
    lake: Ints
    """The earlier lake that has the rows of each; -1 where it is to be read."""
    row: Ints
    """Which of the readings of that lake is meant."""

    def take(self, places: Ints) -> Units:
        """Return some of the units."""
        return Units(self.keys[places], self.named[places], self.lake[places], self.row[places])


class EarlierLake:
    """A lake artifact whose readings are used."""

    def __init__(self, folder: Path) -> None:
        with parquet.ParquetFile(folder / FILE, memory_map=True) as file:
            table = file.read()
        keys = digest_keys(table["identity"])
        self._order = np.lexsort((keys[:, 1], keys[:, 0]))
        self._keys = keys[self._order]
        self._columns = np.stack([table[name].to_numpy() for name in READINGS.names[1:]], axis=1)
        self.documents = _Rows(folder / "lake.parquet", DOCUMENTS).rows
        self.set_aside = _Rows(folder / "set_aside.parquet", SET_ASIDE).rows

    def find(self, keys: Uint64) -> Ints:
        """Return which readings are those of some units, (n, 2); -1 where there is none."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        # Two units that share 64 bits of a hash: the second of them is read again.
        places = np.minimum(np.searchsorted(self._keys[:, 0], keys[:, 0]), len(self._keys) - 1)
        return np.where((self._keys[places] == keys).all(axis=1), self._order[places], -1)

    def rows(self, places: Ints) -> Ints:
        """Return some readings, (n, 6): READINGS without the identity."""
        rows: Ints = self._columns[places]
        return rows


def earlier_lakes(folders: Sequence[Path], how: str) -> list[EarlierLake]:
    """Return those of lake artifacts, newest first, that read as `how` says; a damaged one is left out."""
    dated = []
    for folder in folders:
        try:
            metadata = parquet.read_schema(folder / FILE).metadata or {}
            if metadata.get(HOW) == how.encode():
                dated.append(((folder / FILE).stat().st_mtime_ns, folder))
        except (OSError, pa.ArrowException):
            continue
    found = []
    for _, folder in sorted(dated, reverse=True)[:MOST_LAKES]:
        try:
            found.append(EarlierLake(folder))
        except (OSError, ValueError, KeyError, pa.ArrowException):
            continue
    return found


class Readings:
    """Finds what is known of the files of a lake in the making, and writes down what that lake reads."""

    def __init__(self, lakes: Sequence[EarlierLake], hashes: Hashes, how: str) -> None:
        """Args: `how` names the code and the parameters that decide what comes of a file."""
        self._lakes, self._hashes, self._how = lakes, hashes, how
        self._noted: list[tuple[Uint64, Ints]] = []
        self._next = np.zeros(2, np.int64)
        self.seen: dict[str, Seen] = {}
        """Of the sources of whose files all hashes were remembered."""

    def of_files(self, source: str, listing: Listing, earlier: Callable[[str], int]) -> Units:
        """Return what is known of each entry of a source, were it read by itself.

        Args:
            earlier: how many earlier sources have a file of a path.
        """
        keys = bytearray()
        named = bytearray()
        digest = hashlib.sha256()
        prefix = f"{source}\0None"
        for first in range(0, len(listing), BLOCK_FILES):
            last = min(first + BLOCK_FILES, len(listing))
            found = known_contents(listing, self._hashes, first, last)
            for (relative, content), size_bytes in zip(found, listing.sizes[first:last], strict=True):
                has_name = content is not None and content != UNREADABLE
                named.append(has_name)
                name = f"{prefix}\0{relative}\0{earlier(relative)}\0{size_bytes}\0{content}"
                keys += hashlib.sha256(name.encode()).digest()[:16] if has_name else bytes(16)
            digest.update(
                contents_digest(*zip(*((path, content or "") for path, content in found), strict=True))
            )
        if all(named):
            self.seen[source] = Seen(
                listing.digest(), SourceFingerprint(len(listing), listing.bytes, digest.hexdigest())
            )
        return self._units(keys, named)

    def of_export(self, batch: Batch) -> Units:
        """Return what is known of a Slack export that lies unpacked."""
        key = export_identity(batch, self._hashes)
        return self._units(key or bytes(16), bytes([key is not None]))

    def _units(self, packed: bytes | bytearray, flags: bytes | bytearray) -> Units:
        keys = np.frombuffer(packed, np.uint64).reshape(-1, 2)
        named = np.frombuffer(flags, np.bool_)
        units = Units(keys, named, np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64))
        left = np.flatnonzero(named)
        for number, lake in enumerate(self._lakes):
            found = lake.find(keys[left])
            there = found >= 0
            units.lake[left[there]], units.row[left[there]] = number, found[there]
            left = left[~there]
        return units

    def known(self, units: Units, sizes: Ints, entries: int = 1) -> Iterator[Known | int]:
        """Yield the units in order: those that are known in runs, of the others the place.

        Args:
            sizes: bytes of each.
            entries: of the listing, in each.
        """
        for first in range(0, len(units.keys), BLOCK_FILES):
            lake, row = (column[first : first + BLOCK_FILES] for column in (units.lake, units.row))
            rows = np.zeros((len(lake), len(READINGS) - 1), np.int64)
            for number, one in enumerate(self._lakes):
                rows[lake == number] = one.rows(row[lake == number])
            follows = (lake[1:] == lake[:-1]) & (lake[1:] >= 0)
            follows &= (rows[1:, 4:] == rows[:-1, 4:] + rows[:-1, :2]).all(axis=1)
            borders = [*np.flatnonzero(np.append(True, ~follows)).tolist(), len(lake)]
            for begin, end in itertools.pairwise(borders):
                if lake[begin] < 0:
                    yield first + begin
                    continue
                own = slice(first + begin, first + end)
                yield Known(
                    self._lakes[lake[begin]],
                    units.keys[own],
                    rows[begin:end, :4],
                    int(rows[begin, 4]),
                    int(rows[begin, 5]),
                    entries * (end - begin),
                    int(sizes[own].sum()),
                )

    def note(self, keys: Uint64, counts: Ints, named: Flags | None = None) -> None:
        """Note the next units of the lake, and how many rows each has.

        Args:
            keys: (n, 2), their identities.
            counts: (n, 4), of each COUNTED.
            named: which of them another lake may take over; None for all.
        """
        ends = self._next + np.cumsum(counts[:, :2], axis=0)
        if len(ends):
            self._next = ends[-1]
        rows = np.concatenate([counts, ends - counts[:, :2]], axis=1)
        self._noted.append((keys, rows) if named is None else (keys[named], rows[named]))

    def write(self, out: Path) -> None:
        """Write readings.parquet."""
        keys = np.concatenate([np.empty((0, 2), np.uint64), *(keys for keys, _ in self._noted)])
        rows = np.concatenate(
            [np.empty((0, len(READINGS) - 1), np.int64), *(rows for _, rows in self._noted)]
        )
        arrays = [digest_column(keys), *(pa.array(np.ascontiguousarray(column)) for column in rows.T)]
        table = pa.table(arrays, schema=READINGS).replace_schema_metadata({HOW: self._how})
        parquet.write_table(table, out / FILE, compression="zstd")


class _Rows:
    """The rows of a Parquet file, read about in order."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file, self._schema = parquet.ParquetFile(path), schema
        counts = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._borders = np.cumsum([0, *counts])
        self._group = -1
        self._table: pa.Table = None

    def rows(self, first: int, count: int) -> Iterator[pa.Table]:
        """Yield `count` rows from `first` on."""
        while count:
            group = int(np.searchsorted(self._borders, first, side="right")) - 1
            if group != self._group:
                self._table, self._group = self._file.read_row_group(group).cast(self._schema), group
            begin = first - int(self._borders[group])
            part = self._table.slice(begin, count)
            yield part
            first += part.num_rows
            count -= part.num_rows
