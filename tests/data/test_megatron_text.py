from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from forge.data import megatron_text
from forge.data.megatron import HEADER, MAGIC
from forge.data.megatron_text import Decoded, decode_megatron
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.export.artifacts import write_tokenizer

TEXTS = ["the licence grants", "", "each licensee \u00fc \u2603 may copy\n\tthe work", "sell"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder / "tokenizer.json"


def write(prefix: Path, sequences: list[list[int]]) -> Path:
    """Write a dataset as Megatron-LM does, with uint16 tokens."""
    lengths = np.array([len(each) for each in sequences], "<i4")
    offsets = 2 * (np.cumsum(lengths, dtype="<i8") - lengths)
    header = HEADER.pack(MAGIC, 1, 8, len(sequences), len(sequences) + 1)
    index = [lengths, offsets.astype("<i8"), np.arange(len(sequences) + 1, dtype="<i8")]
    prefix.with_suffix(".idx").write_bytes(header + b"".join(array.tobytes() for array in index))
    prefix.with_suffix(".bin").write_bytes(np.array(list(chain(*sequences)), "<u2").tobytes())
    return prefix


def ids_of(tokenizer: Path, texts: list[str]) -> list[list[int]]:
    from tokenizers import Tokenizer

    return [
        [0, *each.ids, 1]
        for each in Tokenizer.from_file(str(tokenizer)).encode_batch(texts, add_special_tokens=False)
    ]


@pytest.mark.parametrize("batch_tokens", [1, 20, 1 << 20])
def test_documents_are_what_was_encoded(
    tokenizer: Path, tmp_path: Path, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(megatron_text, "BATCH_TOKENS", batch_tokens)
    sequences = ids_of(tokenizer, TEXTS)
    prefix = write(tmp_path / "old", sequences)
    found = decode_megatron(prefix, tokenizer, tmp_path / "new.parquet", SilentProgress())
    assert found == Decoded(4, sum(map(len, sequences)), 4)
    assert parquet.read_table(tmp_path / "new.parquet").to_pydict() == {
        "text": TEXTS,
        "sequence": [0, 1, 2, 3],
        "tokens": list(map(len, sequences)),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.parquet", "old.bin", "old.idx"]


def test_a_text_that_is_encoded_otherwise_is_counted(tokenizer: Path, tmp_path: Path) -> None:
    (whole,) = ids_of(tokenizer, ["the"])
    letters = [token for letter in "the" for token in ids_of(tokenizer, [letter])[0][1:-1]]
    assert letters != whole[1:-1]
    prefix = write(tmp_path / "old", [whole, letters])
    assert decode_megatron(prefix, tokenizer, tmp_path / "new.parquet", SilentProgress()) == Decoded(
        2, len(whole) + 3, 1
    )


def test_a_dataset_of_nothing_is_a_file_of_nothing(tokenizer: Path, tmp_path: Path) -> None:
    prefix = write(tmp_path / "old", [])
    assert decode_megatron(prefix, tokenizer, tmp_path / "new.parquet", SilentProgress()) == Decoded(0, 0, 0)
    assert parquet.read_table(tmp_path / "new.parquet").num_rows == 0


def test_what_does_not_go_together_is_one_line(tokenizer: Path, tmp_path: Path) -> None:
    prefix = write(tmp_path / "old", [[0, 5, 60_000, 1]])
    out = tmp_path / "new.parquet"
    with pytest.raises(
        StageError, match=r"old.bin: has the token 60000, and .* has 3\d\d: name the tokenizer it was"
    ):
        decode_megatron(prefix, tokenizer, out, SilentProgress())
    with pytest.raises(StageError, match=r"old.idx: is no tokenizer.json \(.*\): name the one"):
        decode_megatron(prefix, prefix.with_suffix(".idx"), out, SilentProgress())
    with pytest.raises(StageError, match=r"none.idx: not a Megatron dataset"):
        decode_megatron(tmp_path / "none", tokenizer, out, SilentProgress())
    assert not out.exists()
    shutil.copy(tokenizer, out)
    with pytest.raises(StageError, match=r"new.parquet: is there already: name a file that is not"):
        decode_megatron(prefix, tokenizer, out, SilentProgress())
    assert out.read_bytes() == tokenizer.read_bytes()
