"""A lake of a folder that an earlier lake read: only what is new is read, and the bytes are those of a new lake."""

from __future__ import annotations

import json
import os
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from forge.data import batches, lake, tables
from forge.data.batches import Batch
from forge.data.fingerprint import fingerprint, remembered
from forge.data.lake import build_lake
from forge.data.readings import Readings, earlier_lakes
from forge.progress import SilentProgress
from tests.data.builders import LAKE, prose, prose_files, rows, write_folder
from tests.data.formats.files import pdf_of, zip_of
from tests.data.formats.test_slack import said

LONG_AGO_S = 1_000_000_000
TABLES = ("lake.parquet", "set_aside.parquet", "readings.parquet")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is given to readers."""
    seen: list[str] = []
    true = batches.read_batch

    def noted(batch: Batch, *rest: Any, **named: Any) -> Any:
        seen.extend(entry.file.relative for entry in batch.files)
        return true(batch, *rest, **named)

    monkeypatch.setattr(lake, "read_batch", noted)
    monkeypatch.setattr(batches, "BATCH_FILES", 7)
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 11)
    return seen


def age(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                changed_s = LONG_AGO_S + zlib.crc32(file.read()) % 1_000_000
            os.utime(path, (changed_s, changed_s))


def make(folder: Path, out: Path, earlier: list[Path], how: str = "so") -> dict[str, Any]:
    age(folder)
    cache = out.parent / "hashes"
    fingerprint(str(folder), cache)
    out.mkdir()
    with remembered(cache) as hashes:
        readings = Readings(earlier_lakes(earlier, how), hashes, how)
        return build_lake([str(folder)], LAKE, out, SilentProgress(), readings=readings)


def same(one: Path, two: Path) -> None:
    for name in TABLES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def mixed() -> dict[str, str | bytes]:
    lines = "".join(json.dumps({"text": prose(seed)} if seed % 3 else {"no": 1}) + "\n" for seed in range(9))
    return prose_files(range(40)) | {
        "rows.jsonl": lines,
        "zeros.txt": b"a\0b",
        ".hidden": "x",
        "pack.zip": zip_of({"a.txt": "one", "b.bin": b"\0", "c/d.txt": "two"}),
        "chat/users.json": json.dumps([{"id": "U1", "real_name": "Jane Doe"}]),
        "chat/channels.json": json.dumps([{"id": "C1", "name": "general"}]),
        "chat/general/2024-01-05.json": json.dumps([said(0, "Ship?")]),
        "chat/general/2024-01-06.json": json.dumps([said(90_000, "Shipped.")]),
    }


def test_only_what_is_new_is_read(tmp_path: Path, read: list[str]) -> None:
    folder = write_folder(tmp_path / "in", mixed())
    make(folder, tmp_path / "one", [])
    read.clear()
    write_folder(folder, {"017b.txt": "a new one", "aaa.txt": "the first of all"})
    (folder / "005.txt").write_text("changed")
    (folder / "031.txt").unlink()
    again = make(folder, tmp_path / "two", [tmp_path / "one"])
    assert sorted(read) == ["005.txt", "017b.txt", "aaa.txt"]
    read.clear()
    whole = make(folder, tmp_path / "three", [])
    assert len(read) > 40
    assert again == whole
    same(tmp_path / "two", tmp_path / "three")


def test_nothing_new_is_nothing_read(tmp_path: Path, read: list[str]) -> None:
    folder = write_folder(tmp_path / "in", mixed())
    make(folder, tmp_path / "one", [])
    read.clear()
    make(folder, tmp_path / "two", [tmp_path / "one"])
    assert read == []
    same(tmp_path / "one", tmp_path / "two")


def test_a_message_more_has_the_whole_export_read_again(tmp_path: Path, read: list[str]) -> None:
    folder = write_folder(tmp_path / "in", mixed())
    make(folder, tmp_path / "one", [])
    read.clear()
    write_folder(folder, {"chat/general/2024-01-07.json": json.dumps([said(180_000, "Again.")])})
    make(folder, tmp_path / "two", [tmp_path / "one"])
    assert all(name.startswith("chat/") for name in read)
    make(folder, tmp_path / "three", [])
    same(tmp_path / "two", tmp_path / "three")


@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_the_bytes_are_those_of_a_new_lake(
    tmp_path: Path, read: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    folder = write_folder(tmp_path / "in", mixed())
    lakes: list[Path] = []
    for turn in range(3):
        names = sorted(path.name for path in folder.glob("*.txt"))
        for name in chance.sample(names, 4):
            (folder / name).unlink()
        for name in chance.sample(names, 4):
            (folder / name).write_text(prose(chance.randrange(10_000)))
        for _ in range(4):
            (folder / f"{chance.randrange(60):03}{chance.choice('ab')}.txt").write_text(prose(turn + 500))
        make(folder, tmp_path / f"again-{turn}", lakes)
        make(folder, tmp_path / f"whole-{turn}", [])
        same(tmp_path / f"again-{turn}", tmp_path / f"whole-{turn}")
        lakes.append(tmp_path / f"again-{turn}")


def test_files_read_by_other_processes_are_found_again_too(tmp_path: Path, read: list[str]) -> None:
    folder = write_folder(tmp_path / "in", mixed() | {"a.pdf": pdf_of([["a page"]])})
    make(folder, tmp_path / "one", [])
    (folder / "031.txt").unlink()
    write_folder(folder, {"b.pdf": pdf_of([["another page"]])})
    make(folder, tmp_path / "two", [tmp_path / "one"])
    make(folder, tmp_path / "three", [])
    same(tmp_path / "two", tmp_path / "three")


def test_a_lake_that_was_read_otherwise_or_is_damaged_is_not_used(tmp_path: Path, read: list[str]) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(9)))
    make(folder, tmp_path / "one", [])
    make(folder, tmp_path / "damaged", [])
    (tmp_path / "damaged" / "lake.parquet").write_bytes(b"PAR1")
    read.clear()
    make(folder, tmp_path / "two", [tmp_path / "one"], how="otherwise")
    make(folder, tmp_path / "three", [tmp_path / "damaged", tmp_path / "none"])
    assert len(read) == 18


def test_what_another_try_may_read_is_tried_again(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "in", {"a.txt": "here", "b.txt": "shut"})
    true = Path.read_bytes

    def shut(path: Path) -> bytes:
        if path.name == "b.txt":
            raise PermissionError(13, "Permission denied")
        return true(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", shut)
        assert make(folder, tmp_path / "one", [])["set_aside"] == {"unreadable": 1}
    read.clear()
    assert make(folder, tmp_path / "two", [tmp_path / "one"])["set_aside"] == {}
    assert read == ["b.txt"]
    assert [row["text"] for row in rows(tmp_path / "two" / "lake.parquet")] == ["here", "shut"]


def test_a_source_is_what_it_was_while_each_file_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", mixed())
    age(folder)
    cache = tmp_path / "hashes"
    before = fingerprint(str(folder), cache)
    (tmp_path / "one").mkdir()
    with remembered(cache) as hashes:
        readings = Readings([], hashes, "so")
        build_lake([str(folder)], LAKE, tmp_path / "one", SilentProgress(), readings=readings)
    seen = readings.seen[str(folder)]
    assert seen.fingerprint == before == fingerprint(str(folder), cache, seen=seen)
    (folder / "005.txt").write_text("changed")
    assert fingerprint(str(folder), cache, seen=seen) == fingerprint(str(folder), None) != before


def test_nothing_is_said_of_a_source_whose_hashes_are_not_all_remembered(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(3)))
    age(folder)
    fingerprint(str(folder), tmp_path / "hashes")
    (folder / "001.txt").write_text("changed since")
    (tmp_path / "one").mkdir()
    with remembered(tmp_path / "hashes") as hashes:
        readings = Readings([], hashes, "so")
        build_lake([str(folder)], LAKE, tmp_path / "one", SilentProgress(), readings=readings)
    assert readings.seen == {}


def test_few_new_files_are_read_by_this_process(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(40)))
    monkeypatch.setattr(lake, "SMALL_BYTES", 1_000)
    make(folder, tmp_path / "one", [])
    assert read == []
    write_folder(folder, {"new.txt": "a new one"})
    make(folder, tmp_path / "two", [tmp_path / "one"])
    assert read == ["new.txt"]
