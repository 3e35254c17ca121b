from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forge.data.loading import TokenShard, batch_sequence_indices, load_batch, sequence_count
from forge.engine.skips import (
    REWINDS_AT_ONE_PLACE,
    Window,
    add_window,
    documents_of,
    going_back_helps,
    in_force,
    is_left_out,
    read_windows,
    window_before,
)
from forge.errors import StageError
from tests.factories import tiny_plan, write_tokens


def test_windows_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_windows(tmp_path) == ()
    windows = (Window(3, 7, "loss is nan"), Window(20, 24, "loss is 9"))
    for window in windows:
        add_window(tmp_path, window, ["d1", "d2"])
    assert read_windows(tmp_path) == windows
    assert [step for step in range(1, 30) if is_left_out(step, windows)] == [*range(3, 8), *range(20, 25)]
    (tmp_path / "skipped.json").write_text('{"windows": [{')
    with pytest.raises(StageError, match=r"skipped\.json: is damaged"):
        read_windows(tmp_path)


def test_a_window_ends_at_the_bad_step_and_holds_those_before_it() -> None:
    assert window_before(20, 1, (), "why") == Window(16, 20, "why")
    assert window_before(2, 1, (), "why") == Window(1, 2, "why")
    assert window_before(20, 9, (), "why") == Window(12, 20, "why")
    assert window_before(20, 1, (Window(10, 17, ""),), "why") == Window(18, 20, "why")
    assert window_before(20, 1, (Window(10, 19, ""),), "why") == Window(20, 20, "why")


def test_going_back_is_given_up_at_one_place_and_not_elsewhere() -> None:
    windows = tuple(Window(n, n, "") for n in range(10, 10 + REWINDS_AT_ONE_PLACE))
    assert going_back_helps(14, windows[:-1])
    assert not going_back_helps(14, windows)
    assert going_back_helps(1_000, windows)


def test_a_checkpoint_names_the_windows_that_bear_on_it() -> None:
    windows = (Window(20, 24, ""), Window(3, 7, ""))
    assert in_force(2, windows) == []
    assert in_force(3, windows) == [[3, 7]]
    assert in_force(100, windows) == [[3, 7], [20, 24]]


def test_the_documents_of_a_window_are_those_its_batches_read(tmp_path: Path) -> None:
    plan = tiny_plan()
    tokens = write_tokens(tmp_path, document_tokens=23)
    shard = TokenShard.open(tokens, "train")
    # Number each token by its document, and see which numbers the batches hold.
    numbered = TokenShard(np.arange(len(shard), dtype=np.uint32) // 23)
    length = plan.schedule.sequence_length
    seen: set[int] = set()
    for step in range(4, 7):
        indices = batch_sequence_indices(
            step, plan.schedule.global_batch_sequences, sequence_count(len(shard), length), plan.seed
        )
        for rows in load_batch(numbered, indices, length):
            seen |= set(np.unique(rows).tolist())
    assert documents_of(plan, tokens, Window(5, 7, "")) == [f"train-{23 * number}" for number in sorted(seen)]
