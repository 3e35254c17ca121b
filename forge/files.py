"""Files that are whole or not there: written beside their place, brought to disk, renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORK_FOLDER = "work"
"""Below a stage's output while it is being made: its finished parts, from which a killed stage goes on."""


@contextmanager
def work_folder(given: Path | None, out: Path) -> Iterator[Path]:
    """Give a folder for finished parts: `given`, which stays; else one below `out`, which is removed at the end."""
    folder = given or out / WORK_FOLDER
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        if given is None:
            shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(path: Path, to: Path) -> None:
    """Give the file at `path` a second name, or copy it where the file system knows no links; `to` is replaced."""
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
    except OSError:
        shutil.copyfile(path, to)


def sync(path: Path) -> None:
    """Bring a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring a folder and all below it to disk."""
    for path in [*folder.rglob("*"), folder]:
        sync(path)


def replace_text(path: Path, text: str) -> None:
    """Give `path` the content `text`; whoever reads it sees the old content or the new, never a part."""
    replace_bytes(path, text.encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Give `path` the content `content`, as `replace_text` does."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        sync(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync(path.parent)
