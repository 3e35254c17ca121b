import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.listing import Listing, list_folder
from tests.data.builders import write_folder

THREE: dict[str, str | bytes] = {"b.txt": "two", "a/x.txt": "one", "a.txt": "three"}


def test_files_come_sorted_by_relative_path(tmp_path: Path) -> None:
    files = list_folder(write_folder(tmp_path, THREE))
    assert [(file.relative, file.bytes) for file in files] == [("a.txt", 5), ("a/x.txt", 3), ("b.txt", 3)]


def test_links_are_listed_but_not_followed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "docs", THREE)
    (tmp_path / "secret.txt").write_text("not asked for")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "broken.txt").symlink_to(folder / "gone")
    problems = {file.relative: file.problem for file in list_folder(folder) if file.problem}
    assert problems == {"loop": "link", "out.txt": "link", "broken.txt": "link"}


def test_hidden_entries_are_listed_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {".git/a": "x", ".git/b": "x", "c.txt": "x", ".d.txt": "x"})
    assert [(file.relative, file.problem) for file in list_folder(folder)] == [
        (".d.txt", "hidden"),
        (".git", "hidden"),
        ("c.txt", ""),
    ]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert [file.problem for file in list_folder(tmp_path)] == ["not a file"]


def test_a_name_that_is_not_utf8_can_be_listed(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (listed,) = list_folder(tmp_path)
    assert listed.relative == "\\xff.txt"
    assert Path(listed.location).read_bytes() == b"x"


def test_the_order_is_that_of_whole_paths(tmp_path: Path) -> None:
    names = ["a", "a-b/x", "a b/x", "ab", "ab.d/x", "b/a/z", "b/a.txt", "b0", "ä/x", "z"]
    write_folder(tmp_path, {name if "/" in name else f"{name}.txt": "x" for name in names})
    found = [file.relative for file in list_folder(tmp_path)]
    assert found == sorted(found)
    assert len(found) == len(names)
    listing = list_folder(tmp_path)
    assert all(name in listing for name in found)
    assert not any(name in listing for name in ("a", "a.txt/x", "zz", ""))


def test_two_names_that_would_be_shown_alike_are_told_apart(tmp_path: Path) -> None:
    for name in (b"\xff.txt", b"\\xff.txt", b"\xfe"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(name)
    found = {file.relative: Path(file.location).read_bytes() for file in list_folder(tmp_path)}
    assert found == {"\\xff.txt": b"\\xff.txt", "\\\\xff.txt": b"\xff.txt", "\\xfe": b"\xfe"}


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff/in"
    os.makedirs(folder)  # noqa: PTH103
    with open(folder + b"/a.txt", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (listed,) = list_folder(tmp_path)
    assert listed.relative == "\\xff/in/a.txt"
    assert Path(listed.location).read_bytes() == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
def test_a_folder_that_may_not_be_opened_is_one_entry(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"shut/a.txt": "x", "b.txt": "x"})
    (folder / "shut").chmod(0)
    try:
        found = [(file.relative, file.problem) for file in list_folder(folder)]
    finally:
        (folder / "shut").chmod(0o755)
    assert found == [("b.txt", ""), ("shut", "unreadable")]


def test_a_folder_that_vanishes_while_it_is_listed_is_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, {"a.txt": "x", "gone/b.txt": "x", "z.txt": "x"})
    scan = os.scandir

    def failing(path: str) -> object:
        if path.rstrip("/").endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory")
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    found = [(file.relative, file.problem, file.detail) for file in list_folder(folder)]
    assert found == [
        ("a.txt", "", ""),
        ("gone", "unreadable", "No such file or directory"),
        ("z.txt", "", ""),
    ]


def test_an_entry_takes_few_bytes() -> None:
    count = 20_000
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        listing = Listing("/root/")
        folder = listing.folder("documents/2024/", "documents/2024/")
        for number in range(count):
            listing.append(folder, f"document-{number:08}.txt", 1_000, 1_700_000_000_000_000_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / count < 80
    assert sys.getsizeof(listing[7].relative) > 0
    assert listing[7].relative == "documents/2024/document-00000007.txt"
    assert listing.bytes == count * 1_000


@settings(max_examples=30, deadline=None)
@given(st.sets(st.text("ab./ -", min_size=1, max_size=6), max_size=12))
def test_every_name_is_found_and_no_other(names: set[str]) -> None:
    listing = Listing("")
    folder = listing.folder("", "")
    for name in sorted(names):
        listing.append(folder, name, 1, 1)
    assert [file.relative for file in listing] == sorted(names)
    assert all(name in listing for name in names)
    assert "abc" not in listing


def test_entries_are_found_by_name(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path, {name: "x" for name in ("u.json", "a/u.json", "a/xu.json", "u.jsonl", "b/u")}
    )
    assert [file.relative for file in list_folder(folder).named("u.json")] == ["a/u.json", "u.json"]
    assert list(list_folder(folder).named("json")) == []
