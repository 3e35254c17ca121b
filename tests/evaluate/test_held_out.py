from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.loading import LEARNT, TokenShard
from forge.errors import StageError
from forge.evaluate.held_out import select_held_out


def stream(tokens: int, labels: list[int] | None = None) -> TokenShard:
    return TokenShard(
        np.zeros(tokens, np.uint16), labels=None if labels is None else np.array(labels, np.uint8)
    )


def write_documents(folder: Path, lengths: list[int]) -> None:
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    rows = [
        {
            "document_id": f"h{place}",
            "split": "held_out",
            "start": start,
            "tokens": length,
            "bytes": 3 * length,
        }
        for place, (start, length) in enumerate(zip(starts, lengths, strict=True))
    ]
    noise = [{"document_id": "t0", "split": "train", "start": 0, "tokens": 9, "bytes": 1}]
    parquet.write_table(pa.Table.from_pylist(noise + rows[::-1]), folder / "documents.parquet")


@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=8), limit=st.integers(1, 200))
def test_longest_run_of_whole_documents(
    lengths: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    write_documents(folder, lengths)
    if limit < lengths[0]:
        with pytest.raises(StageError, match=f"held_out_max_tokens: {limit} .* set at least {lengths[0]}"):
            select_held_out(folder, stream(sum(lengths)), limit)
        return
    chosen = select_held_out(folder, stream(sum(lengths)), limit)
    count = len(chosen.document_ids)
    assert chosen.document_ids == tuple(f"h{place}" for place in range(count))
    assert chosen.tokens == sum(lengths[:count]) <= limit
    assert chosen.bytes == 3 * chosen.tokens
    assert count == len(lengths) or chosen.tokens + lengths[count] > limit


def test_of_conversations_the_answers_count(tmp_path: Path) -> None:
    write_documents(tmp_path, [4, 4])
    labels = [0, 0, LEARNT, LEARNT, 2, LEARNT, 0, 0]
    assert select_held_out(tmp_path, stream(8, labels), 8).predicted_tokens == 3
    assert select_held_out(tmp_path, stream(8, labels), 7).predicted_tokens == 2


def test_nothing_held_out(tmp_path: Path) -> None:
    write_documents(tmp_path, [])
    with pytest.raises(StageError, match="no held-out document"):
        select_held_out(tmp_path, stream(0), 10)


def test_documents_that_do_not_fill_the_stream(tmp_path: Path) -> None:
    write_documents(tmp_path, [5, 5])
    with pytest.raises(StageError, match="does not describe"):
        select_held_out(tmp_path, stream(4), 10)


def test_documents_without_text_are_nothing_to_measure(tmp_path: Path) -> None:
    rows = [{"document_id": "h0", "split": "held_out", "start": 0, "tokens": 2, "bytes": 0}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "documents.parquet")
    with pytest.raises(StageError, match="the held-out documents have no text"):
        select_held_out(tmp_path, stream(2), 10)
