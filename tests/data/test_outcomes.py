"""What steps made of texts, put together from the files of all tasks."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc
import pytest

from forge.data import outcomes
from forge.data.outcomes import Outcome, merge_outcomes, outcomes_table, write_outcomes


def merged(parts: list[Path], path: Path) -> pa.Table:
    merge_outcomes(parts, path, "key")
    with ipc.open_file(pa.OSFile(str(path))) as file:
        table: pa.Table = file.read_all()
        return table


def test_outcomes_are_the_same_however_many_are_put_in_order_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    made = [
        Outcome(chance.randbytes(16), None, [], f"text {number}", words=number, levelled=chance.randbytes(32))
        for number in range(300)
    ]
    parts = []
    for number in range(4):
        # Some texts are met by several tasks.
        parts.append(tmp_path / str(number))
        write_outcomes(parts[-1], outcomes_table(chance.sample(made, 150)))
    whole = merged(parts, tmp_path / "whole")
    monkeypatch.setattr(outcomes, "MERGED_BYTES", 10_000)
    with ipc.open_file(pa.OSFile(str(tmp_path / "whole"))) as file:
        assert file.num_record_batches == 1
    ranges = merged(parts, tmp_path / "ranges")
    with ipc.open_file(pa.OSFile(str(tmp_path / "ranges"))) as file:
        assert file.num_record_batches > 5
    assert ranges.equals(whole)
    assert ranges.schema.metadata == whole.schema.metadata == {outcomes.KEY: b"key"}
    met = {row for part in parts for row in merged([part], tmp_path / "one")["words"].to_pylist()}
    assert sorted(whole["words"].to_pylist()) == sorted(met)
