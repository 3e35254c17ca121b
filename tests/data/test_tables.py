from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from forge.data import tables
from forge.data.tables import TableWriter

SCHEMA = pa.schema([pa.field("text", pa.large_string()), pa.field("n", pa.int64())])


def test_rows_come_back_in_order_in_bounded_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    count = 2 * tables.ROW_GROUP_ROWS + 3
    with TableWriter(path, SCHEMA) as writer:
        for number in range(count):
            writer.append({"text": "x", "n": number})
    assert parquet.ParquetFile(path).metadata.num_row_groups == 3
    assert parquet.read_table(path)["n"].to_pylist() == list(range(count))


def test_no_rows_is_a_table_with_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.parquet", SCHEMA):
        pass
    assert parquet.read_table(tmp_path / "t.parquet").schema.names == ["text", "n"]


def test_a_failure_is_passed_on(tmp_path: Path) -> None:
    def fail() -> None:
        with TableWriter(tmp_path / "t.parquet", SCHEMA) as writer:
            writer.append({"text": "x", "n": 1})
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()
