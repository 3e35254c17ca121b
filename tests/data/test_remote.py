from pathlib import Path

import fsspec
import pytest

from forge.data.fingerprint import fingerprint
from forge.data.lake import build_lake
from forge.data.remote import fetch, is_address, list_remote
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import LAKE, make_lake, rows, write_folder
from tests.data.formats.files import pdf_of

FILES: dict[str, str | bytes] = {
    "a.txt": "one",
    "sub/b.md": "# Two\n",
    ".hidden.txt": "x",
    "c.pdf": pdf_of([["x"]]),
}


@pytest.fixture
def memory() -> str:
    system = fsspec.filesystem("memory")
    system.store.clear()
    for name in ("a.txt", "sub/b.md", ".hidden.txt"):
        with system.open(f"/docs/{name}", "wb") as file:
            content = FILES[name]
            file.write(content.encode() if isinstance(content, str) else content)
    return "memory://docs"


def test_what_is_an_address() -> None:
    assert all(map(is_address, ("s3://bucket/x", "gs://b", "memory://x", "file:///x")))
    assert not any(map(is_address, ("/x", "x/y", "package:licensedcode/data", "C:/x", "~/x")))


def test_a_folder_by_its_address_is_the_same_lake(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", FILES)
    make_lake(folder, tmp_path / "one")
    (tmp_path / "two").mkdir()
    build_lake([folder.as_uri()], LAKE, tmp_path / "two", SilentProgress())
    for table in ("lake.parquet", "set_aside.parquet"):
        one, two = (
            [row | {"source": ""} for row in rows(tmp_path / place / table)] for place in ("one", "two")
        )
        assert one == two
        assert one


def test_one_file_by_its_address(tmp_path: Path) -> None:
    path = write_folder(tmp_path, FILES) / "sub" / "b.md"
    (file,) = list_remote(path.as_uri())
    assert (file.relative, file.bytes, file.location) == ("b.md", 6, path.as_uri())


def test_another_file_system_is_read_by_fsspec(memory: str, tmp_path: Path) -> None:
    listing = list_remote(memory)
    assert [(file.relative, file.problem) for file in listing] == [
        (".hidden.txt", "hidden"),
        ("a.txt", ""),
        ("sub/b.md", ""),
    ]
    fetch(listing[2].location, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "# Two\n"
    (tmp_path / "out").mkdir()
    summary = build_lake([memory], LAKE, tmp_path / "out", SilentProgress())
    assert (summary["documents"], summary["set_aside"]) == (2, {"hidden": 1})


def test_the_fingerprint_is_of_the_content_where_no_time_is_known(memory: str) -> None:
    before = fingerprint(memory, None)
    assert before.files == 3
    with fsspec.filesystem("memory").open("/docs/a.txt", "wb") as file:
        file.write(b"two")
    assert fingerprint(memory, None).sha256 != before.sha256


def test_the_fingerprint_is_of_size_and_time_where_they_are_known(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a.txt": "one"})
    before = fingerprint(folder.as_uri(), None)
    assert fingerprint(folder.as_uri(), None) == before
    (folder / "a.txt").write_text("other")
    assert fingerprint(folder.as_uri(), None) != before


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("file:///no/such/folder/anywhere", "cannot be read"),
        ("klingon://x", "give an address of s3"),
        ("nfs://server/share", "is read where it is mounted"),
        ("memory://nothing-there", "cannot be read"),
    ],
)
def test_a_wrong_address_is_one_line(address: str, line: str) -> None:
    with pytest.raises(StageError, match=line) as error:
        list_remote(address)
    assert len(error.value.lines) == 1
    assert "\n" not in error.value.lines[0]
