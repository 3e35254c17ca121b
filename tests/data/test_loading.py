import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.loading import TokenShard, batch_sequence_indices, load_batch, sequence_count
from forge.errors import StageError

FIRST_BATCH = [4, 2, 3, 9, 5, 6, 8, 1]


def write(folder: Path, tokens: list[int], dtype: str = "uint16") -> Path:
    (folder / "train.bin").write_bytes(np.array(tokens, dtype=np.dtype(dtype).newbyteorder("<")).tobytes())
    (folder / "tokens.json").write_text(json.dumps({"dtype": dtype, "train_tokens": len(tokens)}))
    return folder


def test_one_packed_sequence_by_itself_keeps_its_padding() -> None:
    shard = TokenShard(np.array([0, 5, 1, 2, 2], np.uint16), packed_length=4, pad_id=2)
    inputs, targets = load_batch(shard, np.array([0]), 4)
    assert inputs.tolist() == [[0, 5, 1, 2]]
    assert targets.tolist() == [[5, 1, -100, -100]]


@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_a_window_is_the_tokens_as_int64(tmp_path: Path, dtype: str) -> None:
    shard = TokenShard.open(write(tmp_path, [5, 60_000, 7, 8], dtype), "train")
    window = shard.window(1, 2)
    assert len(shard) == 4
    assert window.dtype == np.int64
    assert window.tolist() == [60_000, 7]


@pytest.mark.parametrize(("start", "length"), [(3, 2), (-1, 1), (0, 5)])
def test_a_window_beyond_the_tokens_is_refused(tmp_path: Path, start: int, length: int) -> None:
    shard = TokenShard.open(write(tmp_path, [1, 2, 3, 4]), "train")
    with pytest.raises(IndexError):
        shard.window(start, length)


def test_an_empty_split_opens(tmp_path: Path) -> None:
    assert len(TokenShard.open(write(tmp_path, []), "train")) == 0


def test_tokens_on_disk_cannot_be_changed_through_a_shard(tmp_path: Path) -> None:
    shard = TokenShard.open(write(tmp_path, [1, 2, 3]), "train")
    with pytest.raises(ValueError, match="read-only"):
        shard.tokens[0] = 9


def test_a_truncated_file_is_refused_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, [1, 2, 3])
    (tmp_path / "train.bin").write_bytes(b"\0\0\0")
    with pytest.raises(StageError, match="has 3 bytes, 3 tokens need 6: delete this folder") as error:
        TokenShard.open(tmp_path, "train")
    assert len(error.value.lines) == 1


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not a whole tokens artifact"):
        TokenShard.open(tmp_path, "train")


@given(tokens=st.integers(0, 200), length=st.integers(1, 30))
def test_sequence_count_is_all_that_fit(tokens: int, length: int) -> None:
    count = sequence_count(tokens, length)
    assert count == 0 or (count - 1) * length + length + 1 <= tokens
    assert count * length + length + 1 > tokens


def test_targets_are_inputs_one_token_later(tmp_path: Path) -> None:
    shard = TokenShard.open(write(tmp_path, list(range(100))), "train")
    inputs, targets = load_batch(shard, np.array([2, 0]), 10)
    assert inputs.tolist() == [list(range(20, 30)), list(range(10))]
    assert targets.tolist() == [list(range(21, 31)), list(range(1, 11))]
    assert inputs.dtype == targets.dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(
    sequences=st.integers(1, 40),
    batch=st.integers(1, 64),
    epochs=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_every_sequence_comes_once_an_epoch(sequences: int, batch: int, epochs: int, seed: int) -> None:
    steps = -(-epochs * sequences // batch)
    stream = np.concatenate([batch_sequence_indices(step, batch, sequences, seed) for step in range(steps)])
    for epoch in range(epochs):
        assert sorted(stream[epoch * sequences : (epoch + 1) * sequences]) == list(range(sequences))


def test_the_order_of_a_step_needs_no_other_step() -> None:
    forward = [batch_sequence_indices(step, 7, 50, 3).tolist() for step in range(20)]
    backward = [batch_sequence_indices(step, 7, 50, 3).tolist() for step in reversed(range(20))]
    assert forward == backward[::-1]


def test_the_order_is_the_same_for_ever() -> None:
    # Written down from a first run: a checkpoint must resume in this order under any NumPy.
    assert batch_sequence_indices(0, 8, 10, 1234).tolist() == FIRST_BATCH


def test_epochs_and_seeds_differ() -> None:
    first, second = (batch_sequence_indices(step, 100, 100, 3).tolist() for step in (0, 1))
    assert first != second
    assert first != batch_sequence_indices(0, 100, 100, 4).tolist()


def test_no_sequences_is_refused() -> None:
    with pytest.raises(ValueError, match="no sequences"):
        batch_sequence_indices(0, 4, 0, 1)
