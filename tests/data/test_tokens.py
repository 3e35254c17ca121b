import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from forge.data import encoded as module
from forge.data.corpus import build_corpus
from forge.data.encoding import load_tokenizer
from forge.data.lake import build_lake
from forge.data.loading import IGNORED, TokenShard, load_batch, sequence_count, trace_sample, verify_tokens
from forge.data.tokenizer import BOS, EOS, train_tokenizer
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE, make_corpus, prose, prose_files, rows, write_folder
from tests.factories import TOKENS, tokenizer_defaults

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
    parameters = tokenizer_defaults() | {"vocab_size": 300}
    train_tokenizer(place / "corpus", parameters, place / "tokenizer", SilentProgress())
    (place / "tokens").mkdir()
    build(place, place / "tokens")
    return place


def build(place: Path, out: Path, workers: int | None = None, **parameters: Any) -> dict[str, Any]:
    return build_tokens(
        place / "corpus", place / "tokenizer", TOKENS | parameters, out, SilentProgress(), workers
    )


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_every_document_comes_back_from_its_place_in_the_stream(place: Path, split: str) -> None:
    shard = TokenShard.open(place / "tokens", split)
    tokenizer = load_tokenizer(place / "tokenizer")
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
    shutil.copy(place / "tokenizer" / "tokenizer_config.json", tmp_path / "tokenizer")
    (tmp_path / "out").mkdir()
    facts = build_tokens(place / "corpus", tmp_path / "tokenizer", TOKENS, tmp_path / "out", SilentProgress())
    assert (facts["vocab_size"], facts["dtype"]) == (65_536, "uint32")
    wide = TokenShard.open(tmp_path / "out", "train")
    assert np.array_equal(
        wide.window(0, len(wide)), TokenShard.open(place / "tokens", "train").window(0, len(wide))
    )


def test_a_damaged_corpus_is_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(StageError, match="not a whole corpus"):
        build_tokens(tmp_path, place / "tokenizer", TOKENS, tmp_path, SilentProgress())


def test_the_corpus_of_the_fixture_holds_the_hard_texts(place: Path) -> None:
    paths = parquet.read_table(place / "corpus" / "corpus.parquet", columns=["path"])["path"].to_pylist()
    assert {"special.txt", "spaces.txt", "scripts.txt"} <= set(paths)


def test_workers_change_nothing(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 2_000)
    build(place, tmp_path, workers=2)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (place / "tokens" / name).read_bytes()


def test_packed_sequences_hold_whole_documents_and_padding_is_not_learnt(place: Path, tmp_path: Path) -> None:
    length = 512
    summary = build(place, tmp_path, packing="best_fit", sequence_length=length)
    shard = TokenShard.open(tmp_path, "train")
    facts = json.loads((tmp_path / "tokens.json").read_text())
    assert shard.packed_length == length
    assert len(shard) % length == 1
    assert facts["train_tokens"] == len(shard)
    plain = TokenShard.open(place / "tokens", "train")
    assert np.array_equal(np.sort(shard.tokens[shard.tokens != 2]), np.sort(plain.tokens))
    assert summary["padding_fraction"] == pytest.approx(1 - len(plain) / (len(shard) - 1))
    sequences = np.arange(sequence_count(len(shard), length))
    inputs, targets = load_batch(shard, sequences, length)
    assert (targets[:, -1] == IGNORED).all()
    assert not (targets == 2).any()
    learnt = targets[:, :-1] != IGNORED
    assert np.array_equal(learnt, inputs[:, 1:] != 2)
    assert np.array_equal(targets[:, :-1][learnt], inputs[:, 1:][learnt])
    with pytest.raises(StageError, match="packed for sequences of 512, not 64"):
        load_batch(shard, sequences[:1], 64)


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_a_training_sequence_is_traced_to_its_documents(place: Path, tmp_path: Path, packing: str) -> None:
    length = 300
    build(place, tmp_path, packing=packing, sequence_length=length)
    shard = TokenShard.open(tmp_path, "train")
    tokenizer = load_tokenizer(place / "tokenizer")
    texts = {row["document_id"]: row["text"] for row in rows(place / "corpus" / "corpus.parquet")}
    for index in range(sequence_count(len(shard), length)):
        window = shard.window(index * length, length)
        covered = np.zeros(length, dtype=bool)
        for part in trace_sample(tmp_path, index, length):
            covered[part.start : part.start + part.tokens] = True
            whole = [0, *tokenizer.encode(texts[part.document_id], add_special_tokens=False).ids, 1]
            found = window[part.start : part.start + part.tokens].tolist()
            assert found == whole[part.document_offset : part.document_offset + part.tokens]
        assert (window[~covered] == 2).all()
    with pytest.raises(IndexError):
        trace_sample(tmp_path, sequence_count(len(shard), length), length)


def test_weights_of_sources_are_tokens_in_the_stream(place: Path, tmp_path: Path) -> None:
    source = str(place / "source")
    summary = build(place, tmp_path, source_weights={source: 1.5})
    once = json.loads((place / "tokens" / "tokens.json").read_text())["train_tokens"]
    longest = max(row["tokens"] for row in rows(place / "tokens" / "documents.parquet"))
    assert abs(summary["train_tokens"] - 1.5 * once) <= longest / 2
    assert (
        summary["sources"][source]["train_tokens"]
        == summary["train_tokens"]
        == len(TokenShard.open(tmp_path, "train"))
    )


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_phases_are_segments_with_each_source_s_text_in_its_weight(tmp_path: Path, packing: str) -> None:
    folders = [
        write_folder(tmp_path / name, prose_files(seeds))
        for name, seeds in (("general", range(20)), ("fine", range(20, 30)))
    ]
    general, fine = map(str, folders)
    for name in ("lake", "corpus", "tokenizer", "out"):
        (tmp_path / name).mkdir()
    build_lake([general, fine], LAKE, tmp_path / "lake", SilentProgress())
    build_corpus(tmp_path / "lake", CORPUS, tmp_path / "corpus", SilentProgress())
    parameters = tokenizer_defaults() | {"vocab_size": 300}
    train_tokenizer(tmp_path / "corpus", parameters, tmp_path / "tokenizer", SilentProgress())
    phases = [{general: 0.5, fine: 0.0}, {general: 0.5, fine: 2.0}]
    length = 256
    summary = build(tmp_path, tmp_path / "out", packing=packing, sequence_length=length, phases=phases)
    shard = TokenShard.open(tmp_path / "out", "train")
    assert [[run.source for run in runs] for runs in shard.phases] == [[general], [general, fine]]
    assert not TokenShard.open(tmp_path / "out", "held_out").phases
    source_of = {row["document_id"]: row["source"] for row in rows(tmp_path / "corpus" / "corpus.parquet")}
    documents = [row for row in rows(tmp_path / "out" / "documents.parquet") if row["split"] == "train"]
    seen = []
    for runs in shard.phases:
        for run in runs:
            inside = [row for row in documents if run.start <= row["start"] < run.start + run.tokens]
            assert {source_of[row["document_id"]] for row in inside} == {run.source}
            seen.append([row["document_id"] for row in inside])
    # Each phase reads another half of the general text, and the fine text twice in the second.
    assert not set(seen[0]) & set(seen[1])
    own = {row for row in seen[0] + seen[1]}
    assert own == {row["document_id"] for row in documents if source_of[row["document_id"]] == general}
    assert set(Counter(document for document in seen[2]).values()) >= {2}
    assert summary["sources"][general]["train_tokens"] == sum(
        row["tokens"] for row in documents if source_of[row["document_id"]] == general
    )
    verify_tokens(tmp_path / "out")
    for index in (0, sequence_count(len(shard), length) - 1):
        window = shard.window(index * length, length)
        for part in trace_sample(tmp_path / "out", index, length):
            (row,) = [
                row
                for row in documents
                if row["document_id"] == part.document_id
                and row["start"] <= index * length + part.start < row["start"] + row["tokens"]
            ]
            assert part.document_offset == row["offset"] + index * length + part.start - row["start"]
            if part.document_offset == 0:
                assert window[part.start] == 0


def test_a_changed_byte_is_found(place: Path, tmp_path: Path) -> None:
    build(place, tmp_path)
    verify_tokens(tmp_path)
    content = bytearray((tmp_path / "train.bin").read_bytes())
    content[7] ^= 1
    (tmp_path / "train.bin").write_bytes(content)
    with pytest.raises(StageError, match=r"train\.bin: is not what was written"):
        verify_tokens(tmp_path)
