import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from forge.data.sources import fingerprint, list_files, resolve_source
from forge.errors import StageError
from tests.data.builders import write_folder

LONG_AGO_S = 1_000_000_000


def folder_of(place: Path) -> Path:
    folder = write_folder(place / "docs", {"b.txt": "two", "a/x.txt": "one", "a.txt": "three"})
    for path in folder.rglob("*.txt"):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return folder


def test_files_come_sorted_by_relative_path(tmp_path: Path) -> None:
    files = list_files(str(folder_of(tmp_path)))
    assert [(file.relative, file.bytes) for file in files] == [("a.txt", 5), ("a/x.txt", 3), ("b.txt", 3)]


def test_a_source_may_be_a_file(tmp_path: Path) -> None:
    (file,) = list_files(str(folder_of(tmp_path) / "b.txt"))
    assert (file.relative, file.bytes) == ("b.txt", 3)


def test_an_absent_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"nowhere: does not exist: set data\.path"):
        resolve_source(str(tmp_path / "nowhere"))


def test_a_package_is_found_without_being_imported() -> None:
    assert (resolve_source("package:json/decoder.py")).name == "decoder.py"
    assert resolve_source("package:json").is_dir()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("package:no_such_package_here/x", "is not installed: `pip install no_such_package_here`"),
        ("package:json/nothing", "package json has no nothing"),
        ("package:json/../os.py", "not of the form"),
        ("package:os.path/x", "not of the form"),
        ("package:json//etc", "not of the form"),
        ("package:", "not of the form"),
    ],
)
def test_a_wrong_package_source_is_one_line(source: str, line: str) -> None:
    with pytest.raises(StageError, match=line) as error:
        resolve_source(source)
    assert len(error.value.lines) == 1


def test_links_are_listed_but_not_followed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (tmp_path / "secret.txt").write_text("not asked for")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "broken.txt").symlink_to(folder / "gone")
    problems = {file.relative: file.problem for file in list_files(str(folder)) if file.problem}
    assert problems == {"loop": "link", "out.txt": "link", "broken.txt": "link"}


def test_hidden_entries_are_listed_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {".git/a": "x", ".git/b": "x", "c.txt": "x", ".d.txt": "x"})
    assert [(file.relative, file.problem) for file in list_files(str(folder))] == [
        (".d.txt", "hidden"),
        (".git", "hidden"),
        ("c.txt", ""),
    ]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert [file.problem for file in list_files(str(tmp_path))] == ["not a file"]


def test_a_name_that_is_not_utf8_can_be_listed(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (listed,) = list_files(str(tmp_path))
    assert listed.relative == "\\xff.txt"
    assert listed.absolute.read_bytes() == b"x"
    assert fingerprint(str(tmp_path), tmp_path / "cache").files == 1


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
    known = json.loads(cache.read_text())
    assert known[str(folder / "b.txt")][2] == hashlib.sha256(b"two").hexdigest()
    assert fingerprint(str(folder), cache) == plain
    # A hash planted in the cache is believed: so the file itself was not read.
    known[str(folder / "b.txt")][2] = "0" * 64
    cache.write_text(json.dumps(known))
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
    assert str(folder / "b.txt") not in json.loads(cache.read_text())


@pytest.mark.parametrize("damage", ["", "[1, 2]", "{", '{"x": 3}', '{"PATH": [3, 1, null]}', '{"PATH": "x"}'])
def test_a_damaged_cache_is_ignored(tmp_path: Path, damage: str) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache.json"
    cache.write_text(damage.replace("PATH", str(folder / "b.txt")))
    assert fingerprint(str(folder), cache) == fingerprint(str(folder), None)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    assert fingerprint(str(folder), tmp_path / "none" / "cache.json") == fingerprint(str(folder), None)


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert list_files(str(tmp_path)) == []
    assert fingerprint(str(tmp_path), None).files == 0


def test_the_module_needs_the_standard_library_only() -> None:
    import subprocess
    import sys

    heavy = ("numpy", "pyarrow", "torch", "yaml")
    code = f"import sys, forge.data.sources; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
