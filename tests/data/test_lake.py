import json
import os
from pathlib import Path

import pyarrow as pa
import pytest

from forge.data.lake import build_lake
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import LAKE, make_lake, rows, write_folder
from tests.data.formats.files import zip_of
from tests.data.formats.test_slack import T0, said

MIXED: dict[str, str | bytes] = {
    "a.txt": "one document",
    "b.jsonl": '{"text": "first"}\n{"no": 1}\n{"text": "second"}\n',
    "c.jsonl": "{\n",
    "d.bin": b"\x00",
    "e.txt": b"\x00\x01",
    "f.txt": " \n",
    "g.md": "# Title\ntext",
    "h.parquet": b"broken",
    "i.jsonl": "",
    "sub/j.txt": "deep",
    ".hidden.txt": "x",
    "large.txt": "x" * 2_000,
}


def test_every_file_and_document_is_accounted_for(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", MIXED)
    (tmp_path / "in" / "broken.txt").symlink_to(tmp_path / "gone")
    summary = make_lake(tmp_path / "in", tmp_path / "out", max_file_bytes=1_000)
    lake, aside = rows(tmp_path / "out" / "lake.parquet"), rows(tmp_path / "out" / "set_aside.parquet")
    with_documents = {row["path"] for row in lake}
    without = {row["path"] for row in aside} - with_documents

    assert summary["files"] == len(MIXED) + 1 == len(with_documents) + len(without)
    assert summary["files_with_documents"] == len(with_documents)
    assert summary["files_set_aside"] == len(without)
    assert summary["documents"] == len(lake)
    assert sum(summary["set_aside"].values()) == len(aside)
    assert summary["bytes"] == sum(row["bytes"] for row in lake)
    assert [(row["path"], row["part"]) for row in lake] == [
        ("a.txt", 0),
        ("b.jsonl", 1),
        ("b.jsonl", 3),
        ("g.md", 0),
        ("h.parquet", 0),
        ("sub/j.txt", 0),
    ]
    assert {(row["path"], row["part"], row["reason"]) for row in aside} == {
        (".hidden.txt", 0, "hidden"),
        ("b.jsonl", 2, "no text field"),
        ("broken.txt", 0, "link"),
        ("c.jsonl", 1, "broken json"),
        ("d.bin", 0, "unsupported format"),
        ("e.txt", 0, "binary"),
        ("f.txt", 0, "empty"),
        ("i.jsonl", 0, "empty"),
        ("large.txt", 0, "too large"),
    }
    assert all(row["detail"] for row in aside)


def test_a_row_says_what_the_document_is(tmp_path: Path) -> None:
    text = "---\nname: Ünlimited\nkey: u\ncategory: Permissive\n---\nDürfen.\n"
    write_folder(tmp_path / "in", {"x/u.LICENSE": text})
    make_lake(tmp_path / "in", tmp_path / "out")
    (row,) = rows(tmp_path / "out" / "lake.parquet")
    assert row["source"] == str(tmp_path / "in")
    assert (row["path"], row["part"], row["title"], row["language"]) == ("x/u.LICENSE", 0, "Ünlimited", None)
    assert (row["text"], row["bytes"]) == ("Dürfen.\n", 9)
    assert json.loads(row["metadata"]) == {"name": "Ünlimited", "key": "u", "category": "Permissive"}
    assert len(row["document_id"]) == 16
    assert len(row["sha256"]) == 64


def test_the_same_files_elsewhere_are_the_same_documents(tmp_path: Path) -> None:
    ids = []
    for place in ("one", "two"):
        write_folder(tmp_path / place / "in", MIXED)
        make_lake(tmp_path / place / "in", tmp_path / place / "out")
        ids.append([row["document_id"] for row in rows(tmp_path / place / "out" / "lake.parquet")])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])


def test_the_same_input_is_the_same_bytes(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", MIXED)
    for out in ("one", "two"):
        make_lake(tmp_path / "in", tmp_path / out)
    for name in ("lake.parquet", "set_aside.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_one_source_twice_has_two_ids_for_each_document(tmp_path: Path) -> None:
    source = str(write_folder(tmp_path / "in", {"a.txt": "x", "b.txt": "y"}))
    (tmp_path / "out").mkdir()
    build_lake([source, source], LAKE, tmp_path / "out", SilentProgress())
    ids = [row["document_id"] for row in rows(tmp_path / "out" / "lake.parquet")]
    assert len(set(ids)) == 4


def test_metadata_chooses_documents(tmp_path: Path) -> None:
    lines = [{"text": "a", "kind": "law"}, {"text": "b", "kind": "novel"}, {"text": "c"}]
    write_folder(tmp_path / "in", {"a.jsonl": "\n".join(map(json.dumps, lines)), "b.txt": "no metadata"})
    summary = make_lake(tmp_path / "in", tmp_path / "out", metadata_allow={"kind": ["law"]})
    assert [row["text"] for row in rows(tmp_path / "out" / "lake.parquet")] == ["a", "c", "no metadata"]
    assert summary["set_aside"] == {"metadata kind not allowed": 1}
    details = [row["detail"] for row in rows(tmp_path / "out" / "set_aside.parquet")]
    assert details == ["kind is novel"]


class Vanishing(SilentProgress):
    """Deletes a file as soon as reading begins: it was listed, and is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, total: float, unit: str) -> None:
        self._path.unlink()


@pytest.mark.parametrize("name", ["b.txt", "b.jsonl", "b.parquet", "b.html"])
def test_a_file_that_vanishes_is_unreadable_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "in", {"a.txt": "here", name: "gone soon"})
    (tmp_path / "out").mkdir()
    summary = build_lake([str(folder)], LAKE, tmp_path / "out", Vanishing(folder / name))
    assert (summary["documents"], summary["set_aside"]) == (1, {"unreadable": 1})
    (row,) = rows(tmp_path / "out" / "set_aside.parquet")
    assert row["detail"] == "No such file or directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file_is_unreadable(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {"a.txt": "here", "b.txt": "secret"})
    (folder / "b.txt").chmod(0)
    assert make_lake(folder, tmp_path / "out")["set_aside"] == {"unreadable": 1}


def failure(tmp_path: Path, sources: list[str], records: str = "text") -> str:
    (tmp_path / "out").mkdir()
    with pytest.raises(StageError) as error:
        build_lake(sources, LAKE | {"records": records}, tmp_path / "out", SilentProgress())
    assert len(error.value.lines) == 1
    assert "\n" not in error.value.lines[0]
    return error.value.lines[0]


def test_no_source_is_one_line(tmp_path: Path) -> None:
    assert failure(tmp_path, []).startswith("lake: no source given: set data.path")


def test_a_folder_that_vanished_is_one_line(tmp_path: Path) -> None:
    assert "does not exist" in failure(tmp_path, [str(tmp_path / "was-here")])


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert ": no files: put documents (.txt .md" in failure(tmp_path, [str(tmp_path / "in")])


def test_files_but_no_document_is_one_line_with_counts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {"a.bin": b"\0", "b.doc": b"\xff", "c.txt": b"\0"})
    (folder / "folder.txt").mkdir()
    line = failure(tmp_path, [str(folder)])
    assert "no document in 3 files (2 unsupported format, 1 binary)" in line


@pytest.mark.parametrize("files", [{}, {"a.txt": "no conversation", "b.jsonl": '{"text": "none either"}'}])
@pytest.mark.parametrize(
    ("records", "form"),
    [
        ("conversation", "`messages`, or `prompt` and `completion`"),
        ("preference", "`chosen` and `rejected`, and `prompt` where they lack it"),
    ],
)
def test_where_no_conversation_is_found_the_line_says_what_holds_one(
    tmp_path: Path, files: dict[str, str | bytes], records: str, form: str
) -> None:
    (tmp_path / "in").mkdir()
    line = failure(tmp_path, [str(write_folder(tmp_path / "in", files))], records=records)
    assert f"{records}s" in line
    assert f".jsonl .ndjson .json .parquet .arrow, each record with {form}" in line
    assert ".pdf" not in line


def test_a_slack_export_that_lies_unpacked_is_read_as_one(tmp_path: Path) -> None:
    root = f"{T0:.6f}"
    files = {
        "a.txt": "before",
        "chat/users.json": [{"id": "U1", "real_name": "Jane Doe"}],
        "chat/channels.json": [{"id": "C1", "name": "general"}],
        "chat/general/2024-01-05.json": [said(0, "Ship?")],
        "chat/general/2024-01-06.json": [said(1_500, "Shipped.", thread_ts=root)],
        "chat/general/2024-01-07.json": "no list",
        "chat/general/notes.json": {"text": "not of the chat"},
        "z.txt": "after",
    }
    folder = write_folder(tmp_path / "in", {name: json.dumps(content) for name, content in files.items()})
    summary = make_lake(folder, tmp_path / "out")
    found = {row["path"]: row["text"] for row in rows(tmp_path / "out" / "lake.parquet")}
    assert list(found) == ["a.txt", "chat/general/notes.json", "z.txt", "chat/general/2024-01-05.json"]
    assert found["chat/general/2024-01-05.json"] == (
        "[2024-01-05 09:12] Jane Doe: Ship?\n    [2024-01-06 10:12] Jane Doe: Shipped."
    )
    assert {row["path"]: row["reason"] for row in rows(tmp_path / "out" / "set_aside.parquet")} == {
        "chat/channels.json": "index of an export",
        "chat/users.json": "index of an export",
        "chat/general/2024-01-06.json": "replies only",
        "chat/general/2024-01-07.json": "broken json",
    }
    assert (summary["files"], summary["files_with_documents"]) == (8, 4)


def test_a_dataset_folder_is_its_rows(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "in",
        {
            "data/train/dataset_info.json": '{"features": {}}',
            "data/train/state.json": '{"_data_files": []}',
            "data/dataset_dict.json": '{"splits": ["train"]}',
        },
    )
    table = pa.table({"text": ["one", "two"], "label": [0, 1]})
    with pa.ipc.new_stream(str(folder / "data/train/data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    summary = make_lake(folder, tmp_path / "out")
    assert (summary["documents"], summary["set_aside"]) == (2, {"dataset description": 3})
    assert [row["part"] for row in rows(tmp_path / "out" / "lake.parquet")] == [1, 2]


@pytest.mark.parametrize("paths", [["data.zip", "data.zip/a.txt"], ["data.zip/a.txt", "data.zip"]])
def test_ids_differ_where_an_archive_has_the_path_of_a_folder(tmp_path: Path, paths: list[str]) -> None:
    packed = zip_of({"a.txt": "same"})
    sources = []
    for number, path in enumerate(paths):
        content: dict[str, str | bytes] = {path: "same" if path.endswith(".txt") else packed}
        sources.append(str(write_folder(tmp_path / str(number), content)))
    (tmp_path / "out").mkdir()
    build_lake(sources, LAKE, tmp_path / "out", SilentProgress())
    found = rows(tmp_path / "out" / "lake.parquet")
    assert [row["path"] for row in found] == ["data.zip/a.txt"] * 2
    assert len({row["document_id"] for row in found}) == 2
