import dataclasses
import hashlib
import os
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from forge.data.fingerprint import fingerprint, remembered
from forge.data.listing import list_folder
from forge.progress import SilentProgress
from tests.data.builders import write_folder

LONG_AGO_S = 1_000_000_000


def folder_of(place: Path) -> Path:
    folder = write_folder(place / "docs", {"b.txt": "two", "a/x.txt": "one", "a.txt": "three"})
    for path in folder.rglob("*.txt"):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return folder


def test_the_fingerprint_is_of_names_and_content_not_of_the_place(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "one"), folder_of(tmp_path / "two")
    assert fingerprint(str(one), None) == fingerprint(str(two), None)
    assert fingerprint(str(one), None).files == 3
    assert fingerprint(str(one), None).bytes == 11
    (two / "b.txt").rename(two / "c.txt")
    assert fingerprint(str(one), None).sha256 != fingerprint(str(two), None).sha256


def test_the_cache_changes_nothing_but_spares_reading(tmp_path: Path) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache.json"
    plain = fingerprint(str(folder), None)
    assert fingerprint(str(folder), cache) == plain
    with closing(sqlite3.connect(cache)) as database:
        path = os.fsencode(folder / "b.txt")
        (known,) = database.execute("SELECT sha256 FROM hashes WHERE path = ?", (path,)).fetchone()
        assert known == hashlib.sha256(b"two").hexdigest()
        # A hash planted in the cache is believed: so the file itself is not read.
        database.execute("UPDATE hashes SET sha256 = ? WHERE path = ?", ("0" * 64, path))
        database.commit()
    assert fingerprint(str(folder), cache) != plain


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache.json"
    before = fingerprint(str(folder), cache)
    (folder / "b.txt").write_text("TWO")
    os.utime(folder / "b.txt", (LONG_AGO_S + 1, LONG_AGO_S + 1))
    assert fingerprint(str(folder), cache) != before
    assert fingerprint(str(folder), cache) == fingerprint(str(folder), None)


def test_a_file_changed_just_now_is_not_remembered(tmp_path: Path) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache.json"
    (folder / "b.txt").write_text("new")
    os.utime(folder / "b.txt", ns=(time.time_ns(), time.time_ns()))
    fingerprint(str(folder), cache)
    with closing(sqlite3.connect(cache)) as database:
        remembered = {path for (path,) in database.execute("SELECT path FROM hashes")}
    assert remembered == {os.fsencode(folder / name) for name in ("a.txt", "a/x.txt")}


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 2_000])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache"
    cache.write_bytes(damage)
    assert fingerprint(str(folder), cache) == fingerprint(str(folder), None)
    with closing(sqlite3.connect(cache)) as database:
        assert database.execute("SELECT count(*) FROM hashes").fetchone() == (3,)


def test_a_cache_of_another_form_is_left_alone(tmp_path: Path) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache"
    with closing(sqlite3.connect(cache)) as database:
        database.execute("CREATE TABLE hashes (other TEXT)")
        database.commit()
    assert fingerprint(str(folder), cache) == fingerprint(str(folder), None)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert fingerprint(str(folder), tmp_path / "none" / "cache.json") == fingerprint(str(folder), None)


class Counting(SilentProgress):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total = self.done = 0.0

    def start(self, total: float, unit: str) -> None:
        self.total = total

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount


def test_progress_is_told_of_every_byte(tmp_path: Path) -> None:
    progress = Counting()
    fingerprint(str(folder_of(tmp_path)), None, progress)
    assert progress.done == progress.total == 11


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert fingerprint(str(tmp_path), None).files == 0


def test_hashes_are_found_whatever_the_order_they_are_asked_for_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge.data.fingerprint.AHEAD_FILES", 3)
    monkeypatch.setattr("forge.data.fingerprint.MOST_AHEAD_FILES", 7)
    folder = write_folder(tmp_path / "in", {f"{number:02}.txt": f"{number}" for number in range(40)})
    files = list(list_folder(folder))
    with remembered(tmp_path / "cache") as hashes:
        for number, file in enumerate(files[::2]):
            assert hashes.get(file) is None
            hashes.put(file, f"{number:064}")
            assert hashes.get(file) == f"{number:064}"
        hashes.put(files[10], f"{99:064}")
    wanted = {file.relative: f"{number:064}" for number, file in enumerate(files[::2])}
    wanted[files[10].relative] = f"{99:064}"
    shuffled = list(files)
    random.Random(3).shuffle(shuffled)
    for order in (files, files[::-1], shuffled):
        with remembered(tmp_path / "cache") as hashes:
            assert {file.relative: found for file in order if (found := hashes.get(file))} == wanted
    changed = dataclasses.replace(files[4], bytes=7)
    with remembered(tmp_path / "cache") as hashes:
        assert hashes.get(changed) is None
