import struct
from pathlib import Path

import numpy as np
import pytest

from forge.data.loading import TokenShard
from forge.data.megatron import export_megatron, import_megatron
from forge.errors import StageError
from tests.factories import write_tokens


@pytest.mark.parametrize("vocab_size", [256, 70_000])
def test_what_is_exported_comes_back(tmp_path: Path, vocab_size: int) -> None:
    write_tokens(tmp_path / "tokens", vocab_size=vocab_size)
    export_megatron(tmp_path / "tokens", "train", tmp_path / "out")
    tokens, lengths = import_megatron(tmp_path / "out")
    shard = TokenShard.open(tmp_path / "tokens", "train")
    assert np.array_equal(tokens, shard.tokens)
    assert lengths.sum() == len(shard)
    assert set(lengths.tolist()) == {50}


def test_the_index_is_what_megatron_describes(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens", train_tokens=120)
    export_megatron(tmp_path / "tokens", "train", tmp_path / "out")
    content = (tmp_path / "out.idx").read_bytes()
    assert content[:9] == b"MMIDIDX\x00\x00"
    assert struct.unpack_from("<QBQQ", content, 9) == (1, 8, 3, 4)
    assert np.frombuffer(content, "<i4", 3, 34).tolist() == [50, 50, 20]
    assert np.frombuffer(content, "<i8", 3, 46).tolist() == [0, 100, 200]
    assert np.frombuffer(content, "<i8", 4, 70).tolist() == [0, 1, 2, 3]
    assert len(content) == 102


def test_sequences_may_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(np.arange(10, dtype="<i4").tobytes())
    header = struct.pack("<9sQBQQ", b"MMIDIDX\x00\x00", 1, 4, 2, 3)
    body = [np.array([2, 3], "<i4"), np.array([20, 0], "<i8"), np.array([0, 1, 2], "<i8")]
    (tmp_path / "x.idx").write_bytes(header + b"".join(array.tobytes() for array in body))
    tokens, lengths = import_megatron(tmp_path / "x")
    assert tokens.tolist() == [5, 6, 0, 1, 2]
    assert lengths.tolist() == [2, 3]


@pytest.mark.parametrize("content", [b"", b"MMIDIDX\x00\x00", b"x" * 50])
def test_another_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.idx").write_bytes(content)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(StageError, match="not a Megatron dataset"):
        import_megatron(tmp_path / "x")
