import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from forge.data.formats.items import MAX_DEPTH, Document, Skipped
from tests.data.formats.files import docx_of, paragraph, pdf_of, read_deep, zip_of

FILES: dict[str, bytes | str] = {"a.txt": "one", "sub/b.md": "# Two\n", "c.bin": b"\x00\x01"}


def tar_of(files: dict[str, bytes | str], kind: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(raw), 1_704_445_920
            archive.addfile(entry, io.BytesIO(raw))
    return stream.getvalue()


def zstd_of(raw: bytes) -> bytes:
    return bytes(pa.compress(raw, "zstd", asbytes=True))


def reasons(found: dict[str, Document | Skipped]) -> dict[str, str]:
    return {path: item.reason if isinstance(item, Skipped) else "document" for path, item in found.items()}


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("x.zip", zip_of(FILES)),
        ("x.tar", tar_of(FILES)),
        ("x.tar", tar_of(FILES, tarfile.GNU_FORMAT)),
        ("x.tar.gz", gzip.compress(tar_of(FILES))),
        ("x.tgz", gzip.compress(tar_of(FILES))),
        ("x.tar.bz2", bz2.compress(tar_of(FILES))),
        ("x.tar.xz", lzma.compress(tar_of(FILES))),
        ("x.tar.zst", zstd_of(tar_of(FILES))),
        ("x.tzst", zstd_of(tar_of(FILES))),
        ("called-wrong.txt", zip_of(FILES)),
        ("called-nothing", gzip.compress(tar_of(FILES))),
    ],
)
def test_members_are_read_as_files(tmp_path: Path, name: str, raw: bytes) -> None:
    found = read_deep(tmp_path, name, raw)
    assert reasons(found) == {"a.txt": "document", "sub/b.md": "document", "c.bin": "unsupported format"}
    two = found["sub/b.md"]
    assert isinstance(two, Document)
    assert (two.title, two.modified) == ("Two", "2024-01-05T09:12:00Z")


@pytest.mark.parametrize(
    ("name", "raw", "inner"),
    [
        ("notes.txt.gz", gzip.compress(b"one", mtime=0), "notes.txt"),
        ("notes.md.xz", lzma.compress(b"one"), "notes.md"),
        ("notes.txt.zst", zstd_of(b"one"), "notes.txt"),
        ("notes.bz2", bz2.compress(b"one"), "notes"),
    ],
)
def test_one_packed_file(tmp_path: Path, name: str, raw: bytes, inner: str) -> None:
    (item,) = read_deep(tmp_path, name, raw).items()
    assert item[0] == inner
    assert isinstance(item[1], Document)
    assert item[1].text == "one"


def test_documents_of_every_kind_and_archives_are_read_in_archives(tmp_path: Path) -> None:
    inner = zip_of({"deep.txt": "deep"})
    raw = zip_of({"a.pdf": pdf_of([["x"]]), "b.docx": docx_of(paragraph("y")), "c.zip": inner})
    assert reasons(read_deep(tmp_path, "x.zip", raw)) == {
        "a.pdf": "document",
        "b.docx": "document",
        "c.zip/deep.txt": "document",
    }


def test_nesting_has_an_end(tmp_path: Path) -> None:
    raw: bytes | str = "deep"
    for level in range(30):
        raw = zip_of({"a.txt" if level == 0 else "x.zip": raw, "b.txt": "beside"})
    found = reasons(read_deep(tmp_path, "x.zip", raw))
    assert Counter(found.values()) == {"document": MAX_DEPTH, "nested too deep": 2}


@pytest.mark.parametrize(
    ("name", "raw"), [("x.zip", zip_of({})), ("x.tar", tar_of({})), ("x.gz", gzip.compress(b"", mtime=0))]
)
def test_an_archive_of_nothing_is_one_file_set_aside(tmp_path: Path, name: str, raw: bytes) -> None:
    assert list(reasons(read_deep(tmp_path, name, raw)).values()) == ["empty"]


def test_what_lies_hidden_or_is_a_link_is_listed(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        pipe = tarfile.TarInfo("pipe")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    assert reasons(read_deep(tmp_path, "x.tar", stream.getvalue())) == {
        "link.txt": "link",
        "pipe": "not a file",
    }
    raw = zip_of({".git/config": "x", "__MACOSX/a": "x", "a.txt": "x"})
    assert reasons(read_deep(tmp_path, "x.zip", raw)) == {
        ".git/config": "hidden",
        "__MACOSX/a": "hidden",
        "a.txt": "document",
    }


def test_paths_out_of_the_archive_are_only_names(tmp_path: Path) -> None:
    raw = zip_of({"../../evil.txt": "x", "/etc/evil.txt": "y"})
    assert reasons(read_deep(tmp_path / "in", "x.zip", raw)) == {
        "../../evil.txt": "document",
        "/etc/evil.txt": "document",
    }
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "file"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_told_apart(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "one")
        archive.writestr("a.txt", "two")
    assert list(read_deep(tmp_path, "x.zip", stream.getvalue())) == ["a.txt", "a.txt (2)"]


def test_a_member_without_a_name_has_one(tmp_path: Path) -> None:
    raw = bytearray(zip_of({"aa": "text"}))
    for mark, length_at in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        place = raw.index(mark) + length_at
        raw[place], raw[place + 2] = 0, 2  # the name becomes an extra field
    assert reasons(read_deep(tmp_path, "x.zip", bytes(raw))) == {"unnamed": "document"}


def test_a_bomb_stops_by_size_or_by_what_all_of_it_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forge.data.formats.items.EXPANSION_SLACK_BYTES", 1_000_000)
    one = zip_of({"a.txt": "x" * 9_000_000, "b.txt": "here"})
    assert reasons(read_deep(tmp_path, "x.zip", one, max_file_bytes=5_000_000)) == {
        "a.txt": "too large",
        "b.txt": "document",
    }
    many = zip_of({f"{place}.txt": "x" * 1_000_000 for place in range(10)})
    found = reasons(read_deep(tmp_path, "x.zip", many))
    assert found["0.txt"] == "document"
    assert found["9.txt"] == "expands too far"
    for pack in (gzip.compress, zstd_of):
        tar = reasons(read_deep(tmp_path, "x.tar.gz", pack(tar_of({"a.txt": "x" * 9_000_000}))))
        assert set(tar.values()) == {"expands too far"}


def test_a_header_that_lies_about_the_size_changes_nothing(tmp_path: Path) -> None:
    raw = bytearray(zip_of({"a.txt": "x" * 100_000}))
    place = raw.rindex(b"PK\x01\x02") + 24  # the unpacked size in the directory
    raw[place : place + 4] = (10).to_bytes(4, "little")
    (why,) = reasons(read_deep(tmp_path, "x.zip", bytes(raw))).values()
    assert why == "broken archive"


def test_an_encrypted_member_is_set_aside_and_the_rest_read(tmp_path: Path) -> None:
    raw = bytearray(zip_of({"a.txt": "secret", "b.txt": "open"}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert reasons(read_deep(tmp_path, "x.zip", bytes(raw))) == {"a.txt": "encrypted", "b.txt": "document"}


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("x.zip", zip_of(FILES)[:-30]),
        ("x.zip", b"PK\x03\x04" + b"\xff" * 100),
        ("x.gz", b"\x1f\x8b\x08" + b"\xff" * 100),
        ("x.gz", gzip.compress(b"x" * 100_000, mtime=0)[:50]),
        ("x.xz", lzma.compress(b"one")[:-10]),
        ("x.bz2", b"BZh9" + b"\xff" * 50),
        ("x.zst", zstd_of(b"one" * 100)[:-5]),
        ("x.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 50),
        ("x.tar", b"\x00" * 257 + b"ustar" + b"\xff" * 250),
    ],
    ids=["cut zip", "no zip", "no gzip", "cut gzip", "cut xz", "no bzip2", "cut zstd", "no zstd", "no tar"],
)
def test_a_broken_archive_says_so(tmp_path: Path, name: str, raw: bytes) -> None:
    assert set(reasons(read_deep(tmp_path, name, raw)).values()) == {"broken archive"}


def test_a_tar_broken_in_the_middle_keeps_what_came_before(tmp_path: Path) -> None:
    raw = bytearray(tar_of({"a.txt": "one", "b.txt": "two", "c.txt": "three"}, tarfile.USTAR_FORMAT))
    raw[1024:1100] = b"\xff" * 76
    assert reasons(read_deep(tmp_path, "x.tar", bytes(raw))) == {"a.txt": "document", "": "broken archive"}
    cut = tar_of({"a.txt": "one", "b.txt": "x" * 5_000}, tarfile.USTAR_FORMAT)[:3_000]
    found = reasons(read_deep(tmp_path, "x.tar", cut))
    assert found["a.txt"] == "document"
    assert "broken archive" in found.values()


def test_a_damaged_member_is_set_aside_and_the_rest_read(tmp_path: Path) -> None:
    raw = bytearray(zip_of({"a.txt": "first " * 50, "b.txt": "second"}))
    place = raw.index(b"a.txt") + 7
    raw[place : place + 4] = b"\xff\xff\xff\xff"
    assert reasons(read_deep(tmp_path, "x.zip", bytes(raw))) == {
        "a.txt": "broken archive",
        "b.txt": "document",
    }
