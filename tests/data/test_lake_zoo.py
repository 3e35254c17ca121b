"""Hostile and broken files, all at once: each is read or set aside with its reason, and nothing is lost beside them."""

import gzip
import os
import random
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from forge.data.formats.items import EXPANSION_SLACK_BYTES, MAX_DEPTH
from forge.data.lake import build_lake
from forge.data.pool import Limits
from forge.progress import SilentProgress
from tests.data.builders import rows
from tests.data.formats.files import docx_of, paragraph, pdf_of, xlsx_of, zip_of
from tests.data.formats.test_archives import tar_of
from tests.data.formats.test_docx import LAUGHS
from tests.data.formats.test_slack import export, said

KEY = "<" + "00" * 32 + ">"
PARAMETERS: dict[str, Any] = {"metadata_allow": {}, "max_file_bytes": 100_000_000}
LIMITS = Limits(cpu_s=60, memory_bytes=300_000_000)
DOCUMENT = "document"


def locked_zip() -> bytes:
    raw = bytearray(zip_of({"secret.txt": "x"}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


def nested(levels: int) -> bytes:
    raw: bytes | str = "deep"
    for level in range(levels):
        raw = zip_of({"x.zip" if level else "a.txt": raw})
    assert isinstance(raw, bytes)
    return raw


PLANTED: dict[str, tuple[bytes | str, dict[str, str]]] = {
    "plain.txt": ("text", {"": DOCUMENT}),
    "hebrew.txt": ("שלום עולם 🚀", {"": DOCUMENT}),
    "utf16.txt": ("text".encode("utf-16"), {"": DOCUMENT}),
    "cp1252.txt": (
        "Die Kündigungsfrist beträgt für beide drei Monate. ".encode("cp1252") * 9,
        {"": DOCUMENT},
    ),
    "zeros.txt": (b"text\x00with zeros", {"": "binary"}),
    "blank.txt": (" \n\t\n", {"": "empty"}),
    "empty": (b"", {"": "empty"}),
    "README": ("no extension", {"": DOCUMENT}),
    "picture.jpg": (b"\xff\xd8\xff\xe0" + b"\0" * 40, {"": "unsupported format"}),
    "picture.txt": (b"\x89PNG\r\n\x1a\n\0\0", {"": "binary"}),
    "good.pdf": (pdf_of([["text"]]), {"": DOCUMENT}),
    "scan.pdf": (pdf_of([[], []]), {"": "needs OCR"}),
    "cut.pdf": (pdf_of([["text"] * 50])[:700], {"": "broken pdf"}),
    "locked.pdf": (
        pdf_of(
            [["x"]],
            trailer=f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {KEY} /U {KEY} /P -4 >> /ID [<00> <00>]",
        ),
        {"": "encrypted"},
    ),
    "really-a.pdf.txt": (pdf_of([["text"]]), {"": DOCUMENT}),
    "not-a.pdf": ("<html><p>a page", {"": DOCUMENT}),
    "good.docx": (docx_of(paragraph("text")), {"": DOCUMENT}),
    "cut.docx": (docx_of(paragraph("text"))[:-50], {"": "broken office file"}),
    "laughs.docx": (docx_of("", {"word/document.xml": LAUGHS}), {"": "unsafe xml"}),
    "deep.docx": (docx_of("", {"word/document.xml": "<a>" * 100_000}), {"": "broken office file"}),
    "huge.docx": (docx_of(paragraph("x" * 90_000_000)), {"": "expands too far"}),
    "locked.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, {"": "encrypted"}),
    "good.xlsx": (xlsx_of({"S": "<row><c><v>1</v></c></row>"}), {"": DOCUMENT}),
    "locked.zip": (locked_zip(), {"secret.txt": "encrypted"}),
    "cut.zip": (zip_of({"a.txt": "x" * 500})[:-40], {"": "broken archive"}),
    "empty.zip": (zip_of({}), {"": "empty"}),
    "good.zip": (
        zip_of(
            {
                "a.txt": "one",
                "b/c.pdf": pdf_of([["x"]]),
                "d.bin": b"\0",
                ".e": "x",
                "f.pdf": pdf_of([["x"]])[:99],
            }
        ),
        {
            "a.txt": DOCUMENT,
            "b/c.pdf": DOCUMENT,
            "d.bin": "unsupported format",
            ".e": "hidden",
            "f.pdf": "broken pdf",
        },
    ),
    "good.tar.gz": (
        gzip.compress(tar_of({"a.txt": "one", "b.txt": b"\0"})),
        {"a.txt": DOCUMENT, "b.txt": "binary"},
    ),
    "nested.zip": (nested(12), {"/".join(["x.zip"] * MAX_DEPTH + ["x.zip"]): "nested too deep"}),
    "bomb.gz": (gzip.compress(b"x" * (EXPANSION_SLACK_BYTES + 20_000_000)), {"bomb": "expands too far"}),
    "bomb.zip": (
        zip_of({"a.txt": "x" * 101_000_000, "b.txt": "x"}),
        {"a.txt": "too large", "b.txt": DOCUMENT},
    ),
    "wide.zip": (
        zip_of({"wide.txt": "🚀" + "x" * 60_000_000, "b.txt": "x"}),
        {"wide.txt": "memory limit", "b.txt": DOCUMENT},
    ),
    "slack.zip": (
        export({"general/2024-01-05.json": [said(0, "hello")]}),
        {
            "users.json": "index of an export",
            "channels.json": "index of an export",
            "general/2024-01-05.json": DOCUMENT,
        },
    ),
    "letter.eml": ("Subject: x\n\nbody\n", {"": DOCUMENT}),
    "mixed.jsonl": ('{"text": "one"}\n{\n', {"": DOCUMENT}),
    "bad.jsonl": ("{\n[\n", {"": "broken json"}),
    "deep.json": ("[" * 200_000, {"": "broken json"}),
    "cut.parquet": (b"PAR1" + b"\0" * 90, {"": "broken parquet"}),
    "page.html": ("<div>" * 20_000 + "deep", {"": DOCUMENT}),
    ".hidden/a.txt": ("x", {}),
    "ideas/a.txt": ("x", {"": DOCUMENT}),
}


def plant(folder: Path) -> dict[str, str]:
    """Write the zoo in an order of its own; return what is to become of each file, by path."""
    expected: dict[str, str] = {".hidden": "hidden"}
    names = list(PLANTED)
    random.Random(str(folder)).shuffle(names)
    for name in names:
        raw, fates = PLANTED[name]
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
        expected |= {f"{name}/{inside}" if inside else name: fate for inside, fate in fates.items()}
    for name in ("line.txt", "line.jsonl"):
        with (folder / name).open("wb") as file:
            file.truncate(2 * 1024**3)
        expected[name] = "too large"
    with open(os.fsencode(folder) + b"/\xff\xfe.txt", "wb") as file:  # noqa: PTH123
        file.write(b"a name that is not UTF-8")
    expected["\\xff\\xfe.txt"] = DOCUMENT
    (folder / "ideas" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    expected |= {"ideas/loop": "link", "gone.txt": "link"}
    os.mkfifo(folder / "pipe.txt")
    expected["pipe.txt"] = "not a file"
    if os.geteuid() != 0:
        (folder / "shut.txt").write_text("x")
        (folder / "shut.txt").chmod(0)
        expected["shut.txt"] = "unreadable"
    return expected


def make(folder: Path, out: Path, workers: int) -> dict[str, Any]:
    out.mkdir()
    return build_lake([str(folder)], PARAMETERS, out, SilentProgress(), workers, LIMITS)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], dict[str, Any]]:
    place = tmp_path_factory.mktemp("zoo")
    expected = plant(place / "in")
    return place, expected, make(place / "in", place / "out", 2)


def test_each_file_is_read_or_set_aside_with_its_reason(
    zoo: tuple[Path, dict[str, str], dict[str, Any]],
) -> None:
    place, expected, _ = zoo
    found = {row["path"]: row["reason"] for row in rows(place / "out" / "set_aside.parquet")}
    found |= {row["path"]: DOCUMENT for row in rows(place / "out" / "lake.parquet")}
    assert found == expected


def test_files_seen_are_files_read_and_files_set_aside(
    zoo: tuple[Path, dict[str, str], dict[str, Any]],
) -> None:
    place, expected, summary = zoo
    lake, aside = rows(place / "out" / "lake.parquet"), rows(place / "out" / "set_aside.parquet")
    read = {row["path"] for row in lake}
    assert summary["files"] == len(expected)
    assert summary["files_with_documents"] == len(read) == Counter(expected.values())[DOCUMENT]
    assert summary["files_set_aside"] == len({row["path"] for row in aside} - read)
    assert summary["files"] == summary["files_with_documents"] + summary["files_set_aside"]
    assert summary["documents"] == len(lake)
    assert sum(summary["set_aside"].values()) == len(aside)
    assert all(row["reason"] and row["detail"] for row in aside)
    assert len({row["document_id"] for row in lake}) == len(lake)


def test_the_same_bytes_for_any_workers_and_any_order(
    zoo: tuple[Path, dict[str, str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _, _ = zoo
    scan = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scan(path) as entries:
                self._entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Any:
            return iter(self._entries)

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    make(place / "in", place / "again", 3)
    for name in ("lake.parquet", "set_aside.parquet"):
        assert (place / "again" / name).read_bytes() == (place / "out" / name).read_bytes()


def test_nothing_is_left_behind(zoo: tuple[Path, dict[str, str], dict[str, Any]]) -> None:
    place, _, _ = zoo
    assert sorted(path.name for path in (place / "out").iterdir()) == ["lake.parquet", "set_aside.parquet"]
    assert stat.S_ISFIFO((place / "in" / "pipe.txt").stat().st_mode)


def damaged(raw: bytes, source: random.Random) -> bytes:
    content = bytearray(raw)
    for _ in range(source.choice((1, 3, 20))):
        place = source.randrange(len(content))
        match source.randrange(3):
            case 0:
                content[place] = source.randrange(256)
            case 1:
                content[place : place + 8] = b""
            case _:
                content[place:place] = source.randbytes(8)
        content = content or bytearray(b"\0")
    return bytes(content)


def test_whatever_is_damaged_each_file_is_accounted_for(tmp_path: Path) -> None:
    source = random.Random(7)
    whole = {name: raw.encode() if isinstance(raw, str) else raw for name, (raw, _) in PLANTED.items()}
    names = [name for name, raw in whole.items() if 0 < len(raw) < 20_000 and "/" not in name]
    folder = tmp_path / "in"
    folder.mkdir()
    for turn in range(4):
        for name in names:
            (folder / f"{turn}-{name}").write_bytes(damaged(whole[name], source))
    summary = make(folder, tmp_path / "out", 2)
    tables = [rows(tmp_path / "out" / name) for name in ("lake.parquet", "set_aside.parquet")]
    told = {row["path"].split("/")[0] for table in tables for row in table}
    assert told == {path.name for path in folder.iterdir()}
    assert "reader failed" not in summary["set_aside"]
    assert summary["files"] == summary["files_with_documents"] + summary["files_set_aside"]
    assert summary["files"] == len({row["path"] for table in tables for row in table})
