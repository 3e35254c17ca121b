"""Where documents come from: a folder, a file, or data inside an installed package. Standard library only."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from forge.errors import StageError

PACKAGE_PREFIX = "package:"

DISTRIBUTIONS = {"licensedcode": "licensedcode-data"}
"""What to `pip install` where it is not called what it brings."""

RACY_NS = 2_000_000_000
"""A file changed this shortly ago (ns) may change again within one tick of its clock: its hash is not remembered."""

HASH_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One entry of a source."""

    relative: str
    """POSIX path below the source; the file's name when the source is a file."""
    absolute: Path
    bytes: int
    mtime_ns: int
    problem: str
    """Why it is not read ('' when it is): 'link', 'hidden', 'not a file', 'unreadable'."""
    detail: str


@dataclass(frozen=True, slots=True)
class SourceFingerprint:
    """What a source holds."""

    files: int
    bytes: int
    sha256: str
    """Over the sorted relative paths and each file's SHA-256, or its problem when it is not read."""


def resolve_source(source: str) -> Path:
    """Return the folder or file that `source` names: a path, or `package:NAME/inner/path`.

    A package is located, never imported.

    Raises:
        StageError: it is not there, or not of this form.
    """
    if not source.startswith(PACKAGE_PREFIX):
        path = Path(source).expanduser()
        if not path.exists():
            raise StageError(f"{source}: does not exist: set data.path to a folder or file of documents")
        return path
    name, _, inner = source.removeprefix(PACKAGE_PREFIX).partition("/")
    if not name.isidentifier() or ".." in PurePosixPath(inner).parts or inner.startswith("/"):
        raise StageError(
            f"{source}: not of the form package:NAME/inner/path: NAME has no dots, the path no '..'"
        )
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise StageError(
            f"{source}: package {name} is not installed: `pip install {DISTRIBUTIONS.get(name, name)}`"
        )
    for location in found.submodule_search_locations:
        if (path := Path(location) / inner).exists():
            return path
    raise StageError(
        f"{source}: package {name} has no {inner}: look into {found.submodule_search_locations[0]}"
    )


def list_files(source: str) -> list[SourceFile]:
    """Return every entry of `source`, sorted by relative path.

    Links are listed, not followed: their target is outside the source, or is read in its own place, or loops.
    Hidden entries (a name that starts with a dot) are listed, a hidden folder as one entry.

    Raises:
        StageError: the source is not there.
    """
    root = resolve_source(source)
    if not root.is_dir():
        facts = root.stat()
        problem = "" if stat.S_ISREG(facts.st_mode) else "not a file"
        return [SourceFile(root.name, root, facts.st_size, facts.st_mtime_ns, problem, problem)]
    return sorted(_walk(root), key=lambda file: file.relative)


def fingerprint(source: str, cache: Path | None) -> SourceFingerprint:
    """Return how many files and bytes `source` holds and a SHA-256 of it all.

    `cache`, a JSON file of hashes by absolute path, size and time of change, spares reading what has not changed. It is
    written beside its place and renamed; a damaged one is ignored.

    Raises:
        StageError: the source is not there.
    """
    files = list_files(source)
    known = _load_cache(cache)
    fresh: dict[str, list[Any]] = {}
    digest = hashlib.sha256()
    now_ns = time.time_ns()
    for file in files:
        path = os.fspath(file.absolute)
        content = file.problem
        if not content:
            remembered = known.get(path)
            if remembered is not None and _is_of(remembered, file):
                facts = remembered
            else:
                facts = [file.bytes, file.mtime_ns, _file_sha256(file.absolute)]
            content = facts[2]
            if content != "unreadable" and now_ns - file.mtime_ns > RACY_NS:
                fresh[path] = facts
        digest.update(f"{file.relative}\0{content}\n".encode())
    if cache is not None and any(known.get(path) != facts for path, facts in fresh.items()):
        # The cache only saves time: where it cannot be written, the next call is slower.
        with contextlib.suppress(OSError):
            _save_cache(cache, known | fresh)
    readable = [file for file in files if not file.problem]
    return SourceFingerprint(len(files), sum(file.bytes for file in readable), digest.hexdigest())


def _walk(root: Path) -> Iterator[SourceFile]:
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            yield SourceFile(prefix.rstrip("/") or ".", folder, 0, 0, "unreadable", error.strerror or "")
            continue
        for entry in entries:
            # A name that is not UTF-8 must still fit in a table.
            name = os.fsencode(entry.name).decode("utf-8", "backslashreplace")
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False) and not name.startswith("."):
                waiting.append((path, f"{prefix}{name}/"))
            else:
                yield _entry(entry, prefix + name, path)


def _entry(entry: os.DirEntry[str], relative: str, path: Path) -> SourceFile:
    if entry.is_symlink():
        return SourceFile(relative, path, 0, 0, "link", "links are not followed")
    if entry.name.startswith("."):
        return SourceFile(relative, path, 0, 0, "hidden", "its name starts with a dot")
    if not entry.is_file():
        return SourceFile(relative, path, 0, 0, "not a file", "a device, pipe or socket")
    try:
        facts = entry.stat()
    except OSError as error:
        return SourceFile(relative, path, 0, 0, "unreadable", error.strerror or "")
    return SourceFile(relative, path, facts.st_size, facts.st_mtime_ns, "", "")


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(HASH_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return "unreadable"
    return digest.hexdigest()


def _is_of(facts: Any, file: SourceFile) -> bool:
    return (
        isinstance(facts, list)
        and len(facts) == 3
        and facts[:2] == [file.bytes, file.mtime_ns]
        and isinstance(facts[2], str)
        and len(facts[2]) == 64
    )


def _load_cache(cache: Path | None) -> dict[str, Any]:
    if cache is None:
        return {}
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _save_cache(cache: Path, hashes: dict[str, Any]) -> None:
    beside = cache.with_name(f"{cache.name}.{os.getpid()}")
    beside.write_text(json.dumps(hashes), encoding="utf-8")
    beside.replace(cache)
