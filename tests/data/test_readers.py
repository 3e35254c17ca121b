import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge.data.readers import READERS, Document, Skipped


def read(path: Path, content: str | bytes) -> list[Document | Skipped]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(READERS[path.suffix.lower()](path))


def test_a_text_file_is_one_document_with_plain_newlines(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", "one\r\ntwo\rthree") == [Document(0, "one\ntwo\nthree", "text/plain")]


def test_an_old_encoding_is_recorded(tmp_path: Path) -> None:
    text = "Die Kündigungsfrist beträgt für beide Parteien drei Monate zum Ende des Jahres. " * 4
    (document,) = read(tmp_path / "a.txt", text.encode("cp1252"))
    assert isinstance(document, Document)
    assert document.text == text
    assert "encoding" in document.metadata


def test_binary_is_skipped(tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", b"MZ\x00\x01") == [Skipped(0, "binary", "a zero byte at 2")]


def test_markdown_has_a_title_from_its_heading_or_its_front_matter(tmp_path: Path) -> None:
    (one,) = read(tmp_path / "a.md", "intro\n# The title\ntext")
    (two,) = read(tmp_path / "b.md", "---\ntitle: Given\nlanguage: fr\nowner: me\n---\n# Other\n")
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.title, one.text) == ("The title", "intro\n# The title\ntext")
    assert (two.title, two.language, two.text, two.metadata["owner"]) == ("Given", "fr", "# Other\n", "me")


def test_markdown_that_only_looks_like_front_matter_is_text(tmp_path: Path) -> None:
    text = "---\nkey: [\n---\ntext\n"
    assert read(tmp_path / "a.md", text) == [Document(0, text, "text/markdown")]


@pytest.mark.parametrize("name", ["mit.LICENSE", "mit_1.RULE"])
def test_a_licence_has_its_fields_as_metadata(tmp_path: Path, name: str) -> None:
    (document,) = read(
        tmp_path / name, "---\nkey: mit\nname: MIT License\ncategory: Permissive\n---\n\nBe free.\n"
    )
    assert document == Document(
        0,
        "Be free.\n",
        "text/plain",
        "MIT License",
        None,
        {"key": "mit", "name": "MIT License", "category": "Permissive"},
    )


def test_a_licence_with_broken_fields_is_skipped(tmp_path: Path) -> None:
    (skipped,) = read(tmp_path / "x.LICENSE", "---\nkey: [\n---\ntext")
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "broken front matter"


def test_html(tmp_path: Path) -> None:
    page = '<html lang="ru"><meta charset="windows-1251"><title>Т</title><p>Договор</p></html>'.encode(
        "cp1251"
    )
    (document,) = read(tmp_path / "a.HTM", page)
    assert document == Document(0, "Договор", "text/html", "Т", "ru", {"encoding": "windows-1251"})


def test_jsonl_counts_lines_and_keeps_other_fields(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": "one", "title": "T", "language": "de", "year": 2024}),
        "",
        json.dumps({"text": "two"}),
    ]
    one, two = read(tmp_path / "a.jsonl", "\n".join(lines))
    fields = {"title": "T", "language": "de", "year": 2024}
    assert one == Document(1, "one", "application/jsonl", "T", "de", fields)
    assert two == Document(3, "two", "application/jsonl")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "broken json"),
        (b'{"text": "x"} extra', "broken json"),
        (b"[" * 100_000, "broken json"),
        (b'{"text": ' + b"1" * 5_000 + b"}", "broken json"),
        (b'{"body": "x"}', "no text field"),
        (b'{"text": 5}', "no text field"),
        (b'{"text": null}', "no text field"),
        (b"[1]", "no text field"),
        (b'{"text": "\xff"}', "undecodable"),
    ],
)
def test_a_bad_line_is_skipped_and_the_next_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    skipped, document = read(tmp_path / "a.jsonl", line + b'\n{"text": "fine"}\n')
    assert isinstance(skipped, Skipped)
    assert (skipped.part, skipped.reason) == (1, reason)
    assert document == Document(2, "fine", "application/jsonl")


def test_a_jsonl_text_always_has_a_utf8_form(tmp_path: Path) -> None:
    (document,) = read(tmp_path / "a.jsonl", '{"text": "a\\ud800b"}')
    assert isinstance(document, Document)
    assert document.text == "a\ufffdb"


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["one", None, "three"], "year": [1, 2, 3]}), tmp_path / "a.parquet")
    one, none, three = READERS[".parquet"](tmp_path / "a.parquet")
    assert one == Document(1, "one", "application/vnd.apache.parquet", metadata={"year": 1})
    assert isinstance(none, Skipped)
    assert (none.part, none.reason) == (2, "no text field")
    assert isinstance(three, Document)
    assert three.part == 3


def test_parquet_without_text_is_skipped(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    assert list(READERS[".parquet"](tmp_path / "a.parquet")) == [Skipped(0, "no text field", "columns: body")]


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"not parquet at all, no"]
)
def test_broken_parquet_is_skipped(tmp_path: Path, content: bytes) -> None:
    (skipped,) = read(tmp_path / "a.parquet", content)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == "broken parquet"


def test_parquet_cut_in_the_middle_says_where(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"document {number} " * 50 for number in range(2_000)]})
    parquet.write_table(table, path, row_group_size=500, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60_000] = b"\xff" * 60_000
    path.write_bytes(content)
    items = list(READERS[".parquet"](path))
    assert isinstance(items[-1], Skipped)
    assert items[-1].reason == "broken parquet"
    assert items[-1].detail.startswith("after row ")
    assert len(items) > 500
