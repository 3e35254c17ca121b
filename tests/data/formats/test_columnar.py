import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge.data.formats.items import Document, Skipped
from tests.data.formats.files import read, reason

TABLE = pa.table({"text": ["one", None, "three"], "year": [1, 2, 3]})


def parquet_of(table: pa.Table, **options: object) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


def arrow_of(table: pa.Table, stream_form: bool) -> bytes:
    stream = io.BytesIO()
    make = pa.ipc.new_stream if stream_form else pa.ipc.new_file
    with make(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.parquet", parquet_of(TABLE)),
        ("data-00000-of-00001.arrow", arrow_of(TABLE, stream_form=True)),
        ("a.feather", arrow_of(TABLE, stream_form=False)),
    ],
)
def test_rows_are_documents(name: str, raw: bytes) -> None:
    one, none, three = read(name, raw)
    assert isinstance(one, Document)
    assert (one.part, one.text, one.metadata) == (1, "one", {"year": 1})
    assert isinstance(none, Skipped)
    assert (none.part, none.reason) == (2, "no text field")
    assert isinstance(three, Document)
    assert three.part == 3


def test_a_table_without_text_is_skipped() -> None:
    table = pa.table({"body": ["x"]})
    assert reason("a.parquet", parquet_of(table)) == "no text field"
    assert reason("a.arrow", arrow_of(table, stream_form=True)) == "no text field"


@pytest.mark.parametrize("raw", [b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"\x00\x01 not parquet"])
def test_broken_parquet_is_skipped(raw: bytes) -> None:
    assert reason("a.parquet", raw) == "broken parquet"


def test_a_cut_arrow_stream_says_where() -> None:
    table = pa.table({"text": [f"document {number} " * 50 for number in range(2_000)]})
    raw = arrow_of(pa.table({"text": table["text"]}), stream_form=True)
    last = read("a.arrow", raw[: len(raw) // 2])[-1]
    assert isinstance(last, Skipped)
    assert last.reason == "broken arrow"


def test_parquet_cut_in_the_middle_says_where(tmp_path: Path) -> None:
    table = pa.table({"text": [f"document {number} " * 50 for number in range(2_000)]})
    raw = bytearray(parquet_of(table, row_group_size=500, compression="none", use_dictionary=False))
    middle = len(raw) // 2
    raw[middle : middle + 60_000] = b"\xff" * 60_000
    items = read("a.parquet", bytes(raw))
    assert isinstance(items[-1], Skipped)
    assert items[-1].reason == "broken parquet"
    assert items[-1].detail.startswith("after row ")
    assert len(items) > 500
