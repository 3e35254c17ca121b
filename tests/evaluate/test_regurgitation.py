from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
import transformers

from forge.data.corpus_tables import CORPUS
from forge.data.draft import text_digest
from forge.data.loading import LEARNT, TokenShard
from forge.data.token_tables import SCHEMA
from forge.evaluate.regurgitation import (
    CONTINUED_TOKENS,
    PASSAGE_TOKENS,
    PREFIX_TOKENS,
    Trained,
    draw_passages,
    regurgitation,
    tokens_recited,
)
from forge.progress import SilentProgress
from tests.factories import tiny_plan

SEQUENCE_LENGTH = 1024
VOCAB_SIZE = 384
BOS, EOS, PAD = 0, 1, 2
DOCUMENT_TOKENS = 90
ONCE, TWICE = (0, 1, 2), 3
STREAM = (*ONCE, TWICE, TWICE)


def text(document: int) -> list[int]:
    """Return tokens that no other document has, none of them twice: what follows each can be learnt in seconds."""
    own = np.arange(3 + document * DOCUMENT_TOKENS, 3 + (document + 1) * DOCUMENT_TOKENS)
    return [int(token) for token in np.random.Generator(np.random.PCG64(document)).permutation(own)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three documents read once, two of them of one family, one that stands there twice, and one of a few tokens."""
    folder: Path = tmp_path_factory.mktemp("artifacts")
    pieces = [[BOS, *text(document), EOS] for document in STREAM] + [[BOS, 5, EOS]]
    stream = np.concatenate(pieces).astype("<u2")
    lengths = [len(piece) for piece in pieces]
    ids = [f"{place:016x}" for place in range(len(pieces))]
    rows = [
        {
            "document_id": name,
            "split": "train",
            "start": end - length,
            "tokens": length,
            "bytes": 9,
            "offset": 0,
        }
        for name, length, end in zip(ids, lengths, np.cumsum(lengths).tolist(), strict=True)
    ]
    tokens, corpus = folder / "tokens", folder / "corpus"
    tokens.mkdir()
    corpus.mkdir()
    (tokens / "train.bin").write_bytes(stream.tobytes())
    (tokens / "tokens.json").write_text(json.dumps({"dtype": "uint16", "train_tokens": len(stream)}))
    parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), tokens / "documents.parquet")
    other = {
        "source": "docs",
        "path": "a.txt",
        "text": "x",
        "bytes": 1,
        "words": 1,
        "digest": text_digest("x"),
    }
    documents = [
        {"document_id": name, "group": ids[1] if place == 2 else name, "split": "train", **other}
        for place, name in enumerate(ids)
    ]
    held_out = {"document_id": "held out", "group": "held out", "split": "held_out", **other}
    parquet.write_table(pa.Table.from_pylist([*documents, held_out], CORPUS), corpus / "corpus.parquet")
    return folder


@pytest.fixture(scope="module")
def trained(artifacts: Path) -> Trained:
    schedule = tiny_plan(schedule={"sequence_length": 154, "steps": 8, "global_batch_sequences": 3}).schedule
    found = Trained.open(artifacts / "tokens", schedule)
    # The stream has 463 tokens: three sequences and the first target of another.
    assert (found.epochs, found.sequence_length) == (8, 154)
    found = replace(found, epochs=6.0)
    return replace(found, sequence_length=SEQUENCE_LENGTH)


def network(seed: int) -> Any:
    config = transformers.LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module")
def learned() -> Any:
    """A model that has read documents 0, 1 and 3 until it knows them by heart, and never document 2."""
    model = network(seed=0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.0)
    ids = torch.tensor([text(document) for document in (0, 1, TWICE)])
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    return model.eval()


def measure(
    model: Any, trained: Trained, artifacts: Path, samples: int = 100, seed: int = 3
) -> dict[str, Any]:
    return regurgitation(model, trained, artifacts / "corpus", samples, seed, 4, SilentProgress())


def test_a_model_that_knows_its_documents_by_heart(learned: Any, trained: Trained, artifacts: Path) -> None:
    result = measure(learned, trained, artifacts)
    # Of six documents the last is too short, and of the others one was not read.
    assert (result["passages"], result["passages_asked"], result["verbatim"]) == (5, 100, 4)
    assert result["verbatim_fraction"] == 0.8
    assert result["verbatim_interval_95"] == pytest.approx([0.376, 0.964], abs=0.001)
    assert 40 <= result["mean_tokens_recited"] < 41
    assert measure(learned, trained, artifacts) == result


def test_a_model_that_was_never_trained(trained: Trained, artifacts: Path) -> None:
    result = measure(network(seed=4), trained, artifacts)
    assert (result["verbatim"], result["verbatim_fraction"]) == (0, 0.0)
    assert result["verbatim_interval_95"] == pytest.approx([0, 0.434], abs=0.001)
    assert result["mean_tokens_recited"] < 2


def test_passages_are_counted_by_how_often_they_were_read(
    learned: Any, trained: Trained, artifacts: Path
) -> None:
    result = measure(learned, trained, artifacts)
    names = ("from", "below", "passages", "verbatim")
    assert [tuple(one[name] for name in names) for one in result["by_times_read"]] == [
        (4.0, 8.0, 3, 2),
        (8.0, 16.0, 2, 2),
    ]
    assert [tuple(one[name] for name in names) for one in result["by_near_copies"]] == [
        (1.0, 2.0, 3, 3),
        (2.0, 4.0, 2, 1),
    ]
    rarely = measure(learned, replace(trained, epochs=0.3), artifacts)
    assert [(one["from"], one["passages"]) for one in rarely["by_times_read"]] == [(0.25, 3), (0.5, 2)]


def test_what_is_recited_is_what_transformers_generates(learned: Any, trained: Trained) -> None:
    half = network(seed=0)
    weights = {
        name: 0.5 * value + 0.5 * half.state_dict()[name] for name, value in learned.state_dict().items()
    }
    half.load_state_dict(weights)
    half.eval()
    passages = draw_passages(trained, 5, seed=5)
    recited = tokens_recited(half, trained.shard, passages, 3, SilentProgress())
    expected = []
    for passage in passages:
        ids = torch.from_numpy(trained.shard.window(passage.start, PASSAGE_TOKENS))[None]
        prefix = ids[:, :PREFIX_TOKENS]
        written = half.generate(
            input_ids=prefix,
            attention_mask=torch.ones_like(prefix),
            max_new_tokens=CONTINUED_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=2,
        )
        same = (written[0, PREFIX_TOKENS:] == ids[0, PREFIX_TOKENS:]).long()
        expected.append(int(same.cumprod(0).sum()))
    assert recited == expected
    assert len(set(expected)) > 1


def test_a_passage_is_of_one_document_and_one_sequence(trained: Trained) -> None:
    narrow = replace(trained, sequence_length=128)
    for seed in range(40):
        passages = draw_passages(trained, 5, seed)
        assert len({passage.row for passage in passages}) == 5
        for passage in passages:
            assert {BOS, EOS}.isdisjoint(trained.shard.window(passage.start, PASSAGE_TOKENS).tolist())
        # Of the first three sequences of 128 tokens, documents 0 and 3 lie in one.
        for passage in draw_passages(narrow, 5, seed):
            assert passage.row in (0, 3)
            assert passage.start % 128 + PASSAGE_TOKENS <= 129
    assert draw_passages(trained, 5, 1) != draw_passages(trained, 5, 2)
    assert draw_passages(trained, 3, 1) == draw_passages(trained, 5, 1)[:3]


def test_of_conversations_an_answer_is_continued(trained: Trained) -> None:
    labels = np.zeros(len(trained.shard), np.uint8)
    (start, *_), (length, *_) = (trained.documents[name].to_pylist() for name in ("start", "tokens"))
    answer = start + 38
    labels[answer : answer + CONTINUED_TOKENS] = LEARNT
    shard = TokenShard(trained.shard.tokens, labels=labels)
    assert length > 38 + CONTINUED_TOKENS
    (passage,) = draw_passages(replace(trained, shard=shard), 8, seed=1)
    assert passage.start == answer - PREFIX_TOKENS


def test_documents_too_short_for_a_passage_are_no_samples(trained: Trained, artifacts: Path) -> None:
    short = replace(trained, sequence_length=PASSAGE_TOKENS - 2)
    result = measure(network(seed=4), short, artifacts)
    assert (result["passages"], result["verbatim_fraction"], result["mean_tokens_recited"]) == (0, None, None)
    assert (result["by_times_read"], result["by_near_copies"]) == ([], [])
