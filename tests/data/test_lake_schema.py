import json
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pandas as pd
import pyarrow as pa
import pytest

from forge.data.rows import DOCUMENTS, SET_ASIDE
from forge.resources import data_dir
from tests.data.builders import make_lake, rows, write_folder
from tests.data.formats.files import docx_of, paragraph, pdf_of

SCHEMA: dict[str, Any] = json.loads((data_dir("schemas") / "lake.schema.json").read_text(encoding="utf-8"))
TYPES = {pa.string(): "string", pa.large_string(): "string", pa.int64(): "integer"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lake")
    files: dict[str, str | bytes] = {
        "a.txt": "שלום 🚀",
        "b.docx": docx_of(paragraph("x")),
        "c.pdf": pdf_of([["y"]], info="/CreationDate (D:20240105101200+01'00')"),
        "d.pdf": pdf_of([[]]),
        "e.bin": b"\x00",
    }
    make_lake(write_folder(place / "in", files), place / "out")
    return place / "out"


@pytest.mark.parametrize(("name", "table"), [("document", DOCUMENTS), ("set_aside", SET_ASIDE)])
def test_the_schema_describes_the_columns(name: str, table: pa.Schema) -> None:
    described = SCHEMA["$defs"][name]
    assert list(described["properties"]) == table.names
    assert described["required"] == table.names
    assert described["additionalProperties"] is False
    for field in table:
        expected = [TYPES[field.type], "null"] if field.nullable else TYPES[field.type]
        assert described["properties"][field.name]["type"] == expected, field.name
        assert described["properties"][field.name]["description"]


@pytest.mark.parametrize(("name", "file"), [("document", "lake.parquet"), ("set_aside", "set_aside.parquet")])
def test_rows_are_what_the_schema_says(lake: Path, name: str, file: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})
    found = rows(lake / file)
    assert found
    for row in found:
        validator.validate(row)


def test_duckdb_opens_a_lake(lake: Path) -> None:
    found = duckdb.sql(
        f"SELECT path, text, created, json_extract(metadata, '$.pages') FROM '{lake / 'lake.parquet'}' ORDER BY path"
    ).fetchall()
    assert found == [
        ("a.txt", "שלום 🚀", None, None),
        ("b.docx", "x", "2024-01-05T09:12:00Z", None),
        ("c.pdf", "y", "2024-01-05T09:12:00Z", "1"),
    ]
    reasons = duckdb.sql(f"SELECT reason FROM '{lake / 'set_aside.parquet'}' ORDER BY path").fetchall()
    assert reasons == [("needs OCR",), ("unsupported format",)]


def test_pandas_opens_a_lake(lake: Path) -> None:
    table = pd.read_parquet(lake / "lake.parquet")
    assert list(table.columns) == DOCUMENTS.names
    assert list(table["text"]) == ["שלום 🚀", "x", "y"]
    assert pd.to_datetime(table["created"]).dt.year.tolist()[1:] == [2024, 2024]
