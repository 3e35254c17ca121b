"""The identity of a source: what it holds, as one hash. Standard library only, but for addresses."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forge.data.listing import PROBLEMS, Listing, SourceFile
from forge.data.remote import is_address
from forge.data.sources import fetched, list_files
from forge.progress import Progress, SilentProgress

RACY_NS = 2_000_000_000
"""A file changed this shortly ago (ns) may change again within one tick of its clock: its hash is not remembered."""

HASH_BLOCK_BYTES = 1024 * 1024
AHEAD_FILES = 256
"""Hashes read from the cache at once."""
MOST_AHEAD_FILES = 1_024
"""Hashes in memory at once."""
PAST_ALL_PATHS = b"\xff" * 8
COMMIT_FILES = 10_000
"""Hashes kept from one commit to the next: what an interruption loses."""


@dataclass(frozen=True, slots=True)
class SourceFingerprint:
    """What a source holds."""

    files: int
    bytes: int
    sha256: str
    """Over the sorted relative paths and each file's SHA-256, or its problem when it is not read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source held when it was listed and each of its files was as its hash is remembered."""

    listing: bytes
    """`Listing.digest`."""
    fingerprint: SourceFingerprint


def fingerprint(
    source: str, cache: Path | None, progress: Progress | None = None, seen: Seen | None = None
) -> SourceFingerprint:
    """Return how many files and bytes `source` holds and a SHA-256 of it all.

    `cache`, a SQLite file of hashes by path, size and time of change, spares reading what has not changed; a
    damaged one is made anew. Where nothing changed by these since it was `seen`, it is what it was. A file elsewhere
    (`s3://...`) is known by its size and time of change where its store tells them, for to hash it would be to fetch
    it.

    Raises:
        StageError: the source is not there.
    """
    shown = progress or SilentProgress()
    listing = list_files(source)
    if seen is not None and listing.digest() == seen.listing:
        return seen.fingerprint
    shown.start(listing.bytes, "bytes")
    digest = hashlib.sha256()
    now_ns = time.time_ns()
    with remembered(cache) as hashes:
        for file in listing:
            content = file.problem or _identity(file, hashes, now_ns)
            digest.update(contents_digest([file.relative], [content]))
            shown.advance(file.bytes)
    return SourceFingerprint(len(listing), listing.bytes, digest.hexdigest())


def contents_digest(paths: Iterable[str], contents: Iterable[str]) -> bytes:
    """Return what some files of a source add to what its SHA-256 is over."""
    lines = (f"{path}\0{content}\n" for path, content in zip(paths, contents, strict=True))
    return "".join(lines).encode()


def _identity(file: SourceFile, hashes: Hashes, now_ns: int) -> str:
    if is_address(file.location) and file.mtime_ns:
        return f"{file.bytes} {file.mtime_ns}"
    known = hashes.get(file)
    if known is not None:
        return known
    content = _file_sha256(file)
    if content != "unreadable" and 0 < file.mtime_ns < now_ns - RACY_NS:
        hashes.put(file, content)
    return content


def _file_sha256(file: SourceFile) -> str:
    digest = hashlib.sha256()
    try:
        with fetched(file) as path, path.open("rb") as stream:
            while block := stream.read(HASH_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return "unreadable"
    return digest.hexdigest()


class Hashes:
    """Hashes remembered by path, size and time of change. It only saves time: whatever fails, nothing is remembered.

    Files are asked for in the order of their paths, as a rule: what follows one is read together with it.
    """

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self._database = database
        self._fresh = 0
        self._ahead: dict[bytes, tuple[int, int, str]] = {}
        self._first, self._last = b"", b""
        """Between these two paths all that is remembered is in `_ahead`; nothing where they are the same."""

    def get(self, file: SourceFile) -> str | None:
        """Return what is remembered of a file as it is now, or None."""
        (found,) = self.find([file.location], [file.bytes], [file.mtime_ns])
        return found

    def find(
        self, locations: Iterable[str], sizes: Iterable[int], times: Iterable[int]
    ) -> Iterator[str | None]:
        """Yield what is remembered of files that are now of these bytes and times (ns), or None."""
        for location, size_bytes, mtime_ns in zip(locations, sizes, times, strict=True):
            path = os.fsencode(location)
            if not self._first <= path < self._last:
                self._read_ahead(path)
            found = self._ahead.get(path)
            known = found is not None and found[0] == size_bytes and found[1] == mtime_ns
            yield found[2] if found is not None and known and _is_hash(found[2]) else None

    def _read_ahead(self, path: bytes) -> None:
        if self._database is None:
            return
        # A path before the last one is out of order, and says nothing of the next.
        count = AHEAD_FILES if path >= self._last else 1
        try:
            rows = self._database.execute(
                "SELECT path, bytes, mtime_ns, sha256 FROM hashes WHERE path >= ? ORDER BY path LIMIT ?",
                (path, count),
            ).fetchall()
        except sqlite3.Error:
            return
        self._ahead = {row[0]: row[1:] for row in rows}
        self._first, self._last = path, rows[-1][0] + b"\0" if len(rows) == count else PAST_ALL_PATHS

    def put(self, file: SourceFile, sha256: str) -> None:
        """Remember the hash of a file."""
        if self._database is None:
            return
        try:
            self._database.execute(
                "INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)",
                (path := os.fsencode(file.location), file.bytes, file.mtime_ns, sha256),
            )
            self._ahead[path] = file.bytes, file.mtime_ns, sha256
            if len(self._ahead) > MOST_AHEAD_FILES:
                self._ahead, self._first, self._last = {}, b"", b""
            self._fresh += 1
            if self._fresh % COMMIT_FILES == 0:
                self._database.commit()
        except sqlite3.Error:
            self._database = None


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64


def known_contents(listing: Listing, hashes: Hashes, first: int, last: int) -> list[tuple[str, str | None]]:
    """Return path below the source, and problem or remembered hash, of the entries from `first` to before `last`."""
    paths = list(listing.paths(first, last))
    problems = listing.problems[first:last]
    found = hashes.find(
        (location for _, location in paths), listing.sizes[first:last], listing.times[first:last]
    )
    return [
        (relative, PROBLEMS[problem] or known)
        for (relative, _), problem, known in zip(paths, problems, found, strict=True)
    ]


@contextmanager
def remembered(cache: Path | None) -> Iterator[Hashes]:
    """Give the hashes remembered in `cache`; None remembers nothing."""
    database = None if cache is None else _opened(cache)
    try:
        yield Hashes(database)
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.commit()
    finally:
        if database is not None:
            database.close()


def _opened(cache: Path) -> sqlite3.Connection | None:
    """Return the cache, open; None where it can't be. A damaged one is removed first."""
    for _ in range(2):
        database = None
        try:
            database = sqlite3.connect(cache, timeout=10)
            database.execute(
                "CREATE TABLE IF NOT EXISTS hashes "
                "(path BLOB PRIMARY KEY, bytes INTEGER, mtime_ns INTEGER, sha256 TEXT) WITHOUT ROWID"
            )
            # It need not outlive a power cut: it is checked by size and time, and a damaged one is made anew.
            database.execute("PRAGMA synchronous = OFF")
            return database
        except sqlite3.DatabaseError as error:
            if database is not None:
                database.close()
            if isinstance(error, sqlite3.OperationalError):
                return None  # no such folder, no permission, busy
            with contextlib.suppress(OSError):
                cache.unlink()
    return None
