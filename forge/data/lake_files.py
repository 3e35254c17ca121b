"""The files of a lake's sources in the order of its rows: which an earlier lake has read, and which are read now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from forge.data.batches import Batch, BatchFile, in_batches
from forge.data.columns import Ints
from forge.data.formats.slack import KINDS, USERS, is_slack_file
from forge.data.listing import Listing
from forge.data.readings import Flags, Known, Readings, Units
from forge.data.word_codes import Uint64

Step = Known | tuple[bytes, bool]
"""Rows to copy, or the identity of a unit that is read now and whether it has one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source of a lake, and what earlier lakes know of it."""

    name: str
    listing: Listing
    before: Sequence[Listing]
    """The sources before it: a document of the same path there is another one."""
    places: Ints
    """Of the entries that are read by themselves."""
    sizes: Ints
    """Bytes of each of these; 0 of what is not read."""
    units: Units | None
    """What is known of each; None where nobody asks."""
    exports: Sequence[tuple[Batch, Units | None]]
    """Slack exports that lie unpacked, which come last."""

    @property
    def left_bytes(self) -> int:
        """Bytes that are read now."""
        own = self.sizes if self.units is None else self.sizes[self.units.lake < 0]
        exports = (batch for batch, units in self.exports if units is None or units.lake[0] < 0)
        return int(own.sum()) + sum(map(bytes_of, exports))

    def file(self, place: int) -> BatchFile:
        """Return an entry."""
        file = self.listing[place]
        return BatchFile(file, _earlier(file.relative, self.before))


def look_into(name: str, listing: Listing, before: Sequence[Listing], readings: Readings | None) -> Source:
    """Return a source and what is known of its files."""
    units = None
    if readings is not None:
        units = readings.of_files(name, listing, lambda relative: _earlier(relative, before))
    places = np.arange(len(listing))
    exports: dict[str, list[BatchFile]] = {root: [] for root in _export_roots(listing)}
    if exports:
        own = np.ones(len(listing), np.bool_)
        for place, file in enumerate(listing):
            root = next((root for root in exports if is_slack_file(file.relative, root)), None)
            if root is not None:
                own[place] = False
                exports[root].append(BatchFile(file, _earlier(file.relative, before)))
        places = places[own]
        units = None if units is None else units.take(places)
    batches = [Batch(name, tuple(files), root) for root, files in exports.items()]
    is_read = np.frombuffer(listing.problems, np.uint8)[places] == 0
    return Source(
        name,
        listing,
        before,
        places,
        np.where(is_read, np.asarray(listing.sizes).astype(np.int64)[places], 0),
        units,
        [(batch, None if readings is None else readings.of_export(batch)) for batch in batches],
    )


def unread(sources: Sequence[Source], readings: Readings | None, script: deque[Step]) -> Iterator[Batch]:
    """Yield what has to be read, in batches; put before that into `script` what the rows are made of, in order."""
    for source in sources:
        yield from in_batches(source.name, _files(source, readings, script))
        for batch, units in source.exports:
            size = np.array([bytes_of(batch)])
            if any(True for _ in _left(units, size, len(batch.files), readings, script)):
                yield batch


def _files(source: Source, readings: Readings | None, script: deque[Step]) -> Iterator[BatchFile]:
    for place in _left(source.units, source.sizes, 1, readings, script):
        yield source.file(int(source.places[place]))


def _left(
    units: Units | None, sizes: Ints, entries: int, readings: Readings | None, script: deque[Step]
) -> Iterator[int]:
    """Yield the places of units that are to be read; tell `script` of all."""
    if units is None or readings is None:
        for place in range(len(sizes)):
            script.append((bytes(16), False))
            yield place
        return
    for step in readings.known(units, sizes, entries):
        if isinstance(step, Known):
            script.append(step)
        else:
            script.append((units.keys[step].tobytes(), bool(units.named[step])))
            yield step


def columns_of(steps: Sequence[tuple[bytes, bool]]) -> tuple[Uint64, Flags]:
    """Return the identities of units, (n, 2), and which have one."""
    keys = np.frombuffer(b"".join(key for key, _ in steps), np.uint64).reshape(-1, 2)
    return keys, np.array([named for _, named in steps], np.bool_)


def bytes_of(batch: Batch) -> int:
    """Return the bytes of the files of a batch that are read."""
    return sum(entry.file.bytes for entry in batch.files if not entry.file.problem)


def _earlier(relative: str, before: Sequence[Listing]) -> int:
    return sum(relative in listing for listing in before)


def _export_roots(listing: Listing) -> list[str]:
    """Return the folders that are unpacked Slack exports, sorted."""
    found = set()
    for file in chain.from_iterable(listing.named(name) for name in USERS):
        root = file.relative.rpartition("/")[0]
        root += "/" if root else ""
        if not file.problem and any(root + name in listing for name in KINDS):
            found.add(root)
    return sorted(found)
