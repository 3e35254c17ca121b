import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from forge.data import tokens as module
from forge.data.loading import TokenShard
from forge.data.tokenizer import BOS, EOS, load_for_documents, train_tokenizer
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import make_corpus, prose, prose_files, rows

FILES = ("train.bin", "held_out.bin", "documents.parquet", "tokens.json")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tokens")
    files = prose_files(range(30)) | {
        "special.txt": f"{prose(77)} {EOS} {BOS} and on",
        "spaces.txt": f"\n\n  {prose(78)}\t \n",
        "scripts.txt": f"{prose(79)} Łódź § 7 日本 \U0001f600",
    }
    make_corpus(files, place)
    (place / "tokenizer").mkdir()
    parameters: dict[str, Any] = {"kind": "byte_level_bpe", "pattern": "qwen2", "vocab_size": 300}
    train_tokenizer(place / "corpus", parameters, place / "tokenizer", SilentProgress())
    (place / "tokens").mkdir()
    build(place, place / "tokens")
    return place


def build(place: Path, out: Path) -> dict[str, Any]:
    return build_tokens(place / "corpus", place / "tokenizer", {}, out, SilentProgress())


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_document_comes_back_from_its_place_in_the_stream(place: Path, split: str) -> None:
    shard = TokenShard.open(place / "tokens", split)
    tokenizer = load_for_documents(place / "tokenizer")
    texts = {
        row["document_id"]: row for row in rows(place / "corpus" / "corpus.parquet") if row["split"] == split
    }
    documents = [row for row in rows(place / "tokens" / "documents.parquet") if row["split"] == split]
    assert [row["document_id"] for row in documents] == list(texts)
    start = 0
    for row in documents:
        assert row["start"] == start
        ids = shard.window(row["start"], row["tokens"]).tolist()
        assert (ids[0], ids[-1]) == (0, 1)
        # Also where a text spells them out: a boundary is nothing a document can write.
        assert not {0, 1, 2} & set(ids[1:-1])
        assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == texts[row["document_id"]]["text"]
        assert row["bytes"] == texts[row["document_id"]]["bytes"]
        start += row["tokens"]
    assert start == len(shard)


def test_the_facts_are_those_of_the_files(place: Path) -> None:
    facts = json.loads((place / "tokens" / "tokens.json").read_text())
    documents = rows(place / "tokens" / "documents.parquet")
    assert facts["dtype"] == "uint16"
    assert (facts["vocab_size"], facts["bos_id"], facts["eos_id"], facts["pad_id"]) == (300, 0, 1, 2)
    for split in ("train", "held_out"):
        content = (place / "tokens" / f"{split}.bin").read_bytes()
        own = [row for row in documents if row["split"] == split]
        assert facts["sha256"][f"{split}.bin"] == hashlib.sha256(content).hexdigest()
        assert facts[f"{split}_tokens"] == len(content) // 2 == sum(row["tokens"] for row in own)
        assert facts[f"{split}_bytes"] == sum(row["bytes"] for row in own)


def test_the_summary_has_what_a_report_shows(place: Path, tmp_path: Path) -> None:
    summary = build(place, tmp_path)
    assert summary["train_documents"] + summary["held_out_documents"] == 33
    body = summary["train_tokens"] - 2 * summary["train_documents"]
    assert summary["train_bytes_per_token"] == pytest.approx(summary["train_bytes"] / body)
    json.dumps(summary)


def test_two_runs_give_the_same_bytes(place: Path, tmp_path: Path) -> None:
    build(place, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (place / "tokens" / name).read_bytes()


def test_the_size_of_blocks_changes_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    build(place, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (place / "tokens" / name).read_bytes()


def test_a_large_vocabulary_takes_four_bytes_a_token(place: Path, tmp_path: Path) -> None:
    content = json.loads((place / "tokenizer" / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {f"filler {number}": number for number in range(len(vocabulary), 65_536)}
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps(content))
    (tmp_path / "out").mkdir()
    facts = build_tokens(place / "corpus", tmp_path / "tokenizer", {}, tmp_path / "out", SilentProgress())
    assert (facts["vocab_size"], facts["dtype"]) == (65_536, "uint32")
    wide = TokenShard.open(tmp_path / "out", "train")
    assert np.array_equal(
        wide.window(0, len(wide)), TokenShard.open(place / "tokens", "train").window(0, len(wide))
    )


def test_a_damaged_corpus_is_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(StageError, match="not a whole corpus"):
        build_tokens(tmp_path, place / "tokenizer", {}, tmp_path, SilentProgress())


def test_the_corpus_of_the_fixture_holds_the_hard_texts(place: Path) -> None:
    paths = parquet.read_table(place / "corpus" / "corpus.parquet", columns=["path"])["path"].to_pylist()
    assert {"special.txt", "spaces.txt", "scripts.txt"} <= set(paths)
