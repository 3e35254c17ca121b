import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data import tables
from forge.data.tables import RowGroups, TableWriter

SCHEMA = pa.schema([pa.field("text", pa.large_string()), pa.field("n", pa.int64())])


def table_of(numbers: range, text: str = "x") -> pa.Table:
    return pa.table({"text": [text] * len(numbers), "n": list(numbers)}, schema=SCHEMA)


def test_rows_come_back_in_order_in_bounded_groups(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    count = 2 * tables.ROW_GROUP_ROWS + 3
    with TableWriter(path, SCHEMA) as writer:
        for number in range(0, count, 10):
            writer.extend(table_of(range(number, min(number + 10, count))))
    assert parquet.ParquetFile(path).metadata.num_row_groups == 3
    assert parquet.read_table(path)["n"].to_pylist() == list(range(count))


def test_a_group_ends_with_the_row_that_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_TEXT_BYTES", 10)
    with TableWriter(tmp_path / "t.parquet", SCHEMA) as writer:
        writer.extend(table_of(range(8), "äb"))  # three bytes each
    with parquet.ParquetFile(tmp_path / "t.parquet") as file:
        assert [file.metadata.row_group(group).num_rows for group in range(2)] == [4, 4]


@given(cuts=st.lists(st.integers(0, 60), max_size=9), texts=st.lists(st.text(max_size=9), max_size=60))
def test_how_rows_come_changes_no_byte(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    whole = pa.table({"text": texts, "n": list(range(len(texts)))}, schema=SCHEMA)
    borders = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROW_GROUP_ROWS", 13)
        patch.setattr(tables, "ROW_GROUP_TEXT_BYTES", 40)
        with TableWriter(folder / "one", SCHEMA) as writer:
            writer.extend(whole)
        with TableWriter(folder / "two", SCHEMA) as writer:
            for begin, end in itertools.pairwise(borders):
                writer.extend(whole.slice(begin, end - begin))
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def test_no_rows_is_a_table_with_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.parquet", SCHEMA):
        pass
    assert parquet.read_table(tmp_path / "t.parquet").schema.names == ["text", "n"]


def test_a_failure_is_passed_on(tmp_path: Path) -> None:
    def fail() -> None:
        with TableWriter(tmp_path / "t.parquet", SCHEMA) as writer:
            writer.extend(table_of(range(1)))
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fail()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_full_disk_is_told_by_the_next_table_or_at_the_end() -> None:
    table = pa.table({"path": [str(number) for number in range(100_000)]})

    def write(times: int) -> int:
        written = 0
        with RowGroups(Path("/dev/full"), table.schema) as groups:
            for _ in range(times):
                groups.write(table, len(table))
                written += 1
        return written

    with pytest.raises(OSError, match="No space left"):
        write(1)
    with pytest.raises(OSError, match="No space left"):
        write(2)
