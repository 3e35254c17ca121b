"""Preferences from files of records to labelled tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tokenizers import Tokenizer

from forge.data.conversations import Message, NoConversation
from forge.data.corpus import build_corpus
from forge.data.loading import (
    BEGINS,
    IGNORED,
    LEARNT,
    PREFERRED,
    REJECTED,
    TokenShard,
    load_batch,
    sequence_count,
)
from forge.data.pairs import count_pairs, pairs_in
from forge.data.preferences import Preference, from_record, from_text, to_text
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, make_lake, prose, rows, write_folder
from tests.factories import TOKENS, tokenizer_defaults

LENGTH = 256


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def says(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def messages(*said: dict[str, str]) -> tuple[Message, ...]:
    return tuple(Message(**one) for one in said)


SYSTEM = {"role": "system", "content": "be brief"}
WANTED = Preference(messages(user("p")), messages(says("good")), messages(says("bad")))


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"prompt": "p", "chosen": "good", "rejected": "bad"}, WANTED),
        ({"prompt": [user("p")], "chosen": [says("good")], "rejected": [says("bad")]}, WANTED),
        ({"chosen": [user("p"), says("good")], "rejected": [user("p"), says("bad")]}, WANTED),
        ({"prompt": "p", "chosen": [user("p"), says("good")], "rejected": [user("p"), says("bad")]}, WANTED),
        ({"prompt": "p", "chosen": [says("good")], "rejected": "bad"}, WANTED),
        (
            {
                "prompt": "p",
                "chosen": [SYSTEM, user("p"), says("good")],
                "rejected": [SYSTEM, user("p"), says("bad")],
            },
            Preference(messages(SYSTEM, user("p")), messages(says("good")), messages(says("bad"))),
        ),
        (
            {
                "chosen": [user("p"), says("a"), user("q"), says("good"), user("r"), says("better")],
                "rejected": [user("p"), says("a"), user("q"), says("bad")],
            },
            Preference(
                messages(user("p"), says("a"), user("q")),
                messages(says("good"), user("r"), says("better")),
                messages(says("bad")),
            ),
        ),
    ],
)
def test_the_usual_forms_say_the_same(record: dict[str, Any], wanted: Preference) -> None:
    fields = record | {"score": 3}
    assert from_record(fields) == wanted
    assert fields == {"score": 3}
    assert from_text(to_text(wanted)) == wanted


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "p", "chosen": "good"}, "no preference"),
    ({"prompt": "p", "chosen": "good", "rejected": None}, "no preference"),
    ({"messages": [user("p"), says("a")]}, "no preference"),
    ({"chosen": "good", "rejected": "bad"}, "no prompt"),
    ({"chosen": [user("p"), says("good")], "rejected": [user("q"), says("bad")]}, "no prompt"),
    ({"prompt": "p", "chosen": "same", "rejected": "same"}, "same answer"),
    ({"prompt": "p", "chosen": [user("p")], "rejected": [user("p"), says("bad")]}, "no two answers"),
    (
        {"chosen": [user("p"), says("a"), user("q")], "rejected": [user("p"), says("a"), says("b")]},
        "no two answers",
    ),
    ({"prompt": "x", "chosen": [user("p"), says("a")], "rejected": [user("p"), says("b")]}, "two prompts"),
    ({"prompt": "p", "chosen": " ", "rejected": "bad"}, "empty message"),
    ({"prompt": "p", "chosen": 7, "rejected": "bad"}, "no text"),
    ({"prompt": [], "chosen": "good", "rejected": "bad"}, "no messages"),
    ({"prompt": "p", "chosen": [{"role": "x", "content": "y"}], "rejected": "bad"}, "unknown role"),
    ({"prompt": "p", "chosen": "go\x1dod", "rejected": "bad"}, "control character"),
    ({"prompt": "p", "chosen": "go\x1eod", "rejected": "bad"}, "control character"),
]


def test_a_bad_record_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    records = [{"prompt": "p", "chosen": "good", "rejected": "bad"}, *(record for record, _ in BAD), [1, 2]]
    write_folder(tmp_path / "source", {"pairs.jsonl": lines(*records)})
    make_lake(tmp_path / "source", tmp_path / "lake", records="preference")
    (kept,) = rows(tmp_path / "lake" / "lake.parquet")
    assert from_text(kept["text"]) == WANTED
    aside = sorted(rows(tmp_path / "lake" / "set_aside.parquet"), key=lambda row: row["part"])
    assert [row["reason"] for row in aside] == [*(reason for _, reason in BAD), "no messages"]


def test_every_file_is_read_or_set_aside(tmp_path: Path) -> None:
    write_folder(
        tmp_path / "source",
        {"a.json": json.dumps([{"prompt": "p", "chosen": "1", "rejected": "2"}]), "notes.txt": "a text"},
    )
    said = {"chosen": [user("q"), says("good")], "rejected": [user("q"), says("bad")], "score": 1.0}
    for name, column in (("b", said), ("c", {"text": "no pair"})):
        parquet.write_table(pa.Table.from_pylist([column]), tmp_path / "source" / f"{name}.parquet")
    make_lake(tmp_path / "source", tmp_path / "lake", records="preference")
    kept = {row["path"]: from_text(row["text"]) for row in rows(tmp_path / "lake" / "lake.parquet")}
    assert {name: pair.prompt[0].content for name, pair in kept.items()} == {"a.json": "p", "b.parquet": "q"}
    aside = {row["path"]: row["reason"] for row in rows(tmp_path / "lake" / "set_aside.parquet")}
    assert aside == {"notes.txt": "no preference", "c.parquet": "no preference"}


def test_conversations_are_read_from_parquet_too(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    table = pa.Table.from_pylist([{"messages": [user("q"), says("a")]}, {"messages": [user("q")]}])
    parquet.write_table(table, tmp_path / "source" / "chats.parquet")
    make_lake(tmp_path / "source", tmp_path / "lake", records="conversation")
    (kept,) = rows(tmp_path / "lake" / "lake.parquet")
    (aside,) = rows(tmp_path / "lake" / "set_aside.parquet")
    assert (kept["part"], aside["part"], aside["reason"]) == (1, 2, "no assistant answer")


@pytest.mark.parametrize("text", ["plain", "\x1euser\np", "\x1euser\np\x1d\x1eassistant\na", "a\x1db\x1dc"])
def test_a_text_that_curation_broke_is_no_preference(text: str) -> None:
    with pytest.raises(NoConversation):
        from_text(text)


def lines(*records: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in records)


def to_tokens(place: Path, content: str, **parameters: Any) -> tuple[Path, dict[str, Any]]:
    """Carry a JSON Lines file through all stages of data; return the tokens' folder and their summary."""
    write_folder(place / "source", {"pairs.jsonl": content})
    make_lake(place / "source", place / "lake", records="preference")
    for name in ("corpus", "tokenizer", "tokens"):
        (place / name).mkdir()
    curate = {"curate": ["exact_duplicates"], "held_out_fraction": 0.1}
    build_corpus(place / "lake", CORPUS | curate, place / "corpus", SilentProgress(), workers=1)
    how = tokenizer_defaults() | {"vocab_size": 270, "chat": True}
    train_tokenizer(place / "corpus", how, place / "tokenizer", SilentProgress())
    given = TOKENS | {"task": "dpo", "packing": "best_fit", "sequence_length": LENGTH} | parameters
    corpus, tokenizer = place / "corpus", place / "tokenizer"
    summary = build_tokens(corpus, tokenizer, given, place / "tokens", SilentProgress(), workers=1)
    return place / "tokens", summary


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {
            "prompt": prose(3 * seed, 2),
            "chosen": prose(3 * seed + 1, 1 + seed % 9),
            "rejected": prose(3 * seed + 2, 3),
        }
        for seed in range(40)
    ]
    # Each answer by itself would fit.
    records.append({"prompt": "ba?", "chosen": prose(900, 26), "rejected": prose(901, 26)})
    return to_tokens(tmp_path_factory.mktemp("pairs"), lines(*records))


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_each_pair_lies_in_one_sequence_with_both_answers_marked(
    split: str, made: tuple[Path, dict[str, Any]]
) -> None:
    folder, summary = made
    tokenizer = Tokenizer.from_file(str(folder.parent / "tokenizer" / "tokenizer.json"))
    shard = TokenShard.open(folder, split)
    count = sequence_count(len(shard), LENGTH)
    pairs = pairs_in(shard, np.arange(count), LENGTH)
    stored = {row["start"]: row for row in rows(folder / "documents.parquet") if row["split"] == split}
    assert sorted(stored) == pairs.start.tolist()
    assert len(pairs) == count_pairs(shard, np.arange(count), LENGTH) == summary[f"{split}_documents"] > 1
    texts = {row["document_id"]: row["text"] for row in rows(folder.parent / "corpus" / "corpus.parquet")}
    assert shard.labels is not None
    inputs, targets = load_batch(shard, np.arange(count), LENGTH)
    learnt = 0
    for at in range(len(pairs)):
        row, first, middle, end = (int(x[at]) for x in (pairs.row, pairs.chosen, pairs.rejected, pairs.end))
        assert 0 <= first < middle < end <= LENGTH
        document = stored[int(pairs.start[at])]
        assert document["tokens"] == end - first
        pair = from_text(texts[document["document_id"]])
        for begin, stop, mark, answer in (
            (first, middle, LEARNT, pair.chosen),
            (middle, end, REJECTED, pair.rejected),
        ):
            ids = inputs[row, begin:stop]
            labels = shard.labels[row * LENGTH + begin : row * LENGTH + stop]
            said = f"user\n{pair.prompt[0].content}<|eos|>assistant\n{answer[0].content}<|eos|>"
            assert tokenizer.decode(ids.tolist(), skip_special_tokens=False) == f"<|bos|>{said}"
            marked = labels & (LEARNT | REJECTED)
            assert set(marked.tolist()) == {0, mark}
            told = tokenizer.decode(ids[marked > 0].tolist(), skip_special_tokens=False)
            assert told == f"{answer[0].content}<|eos|>"
            assert (targets[row, begin : stop - 1] != IGNORED).tolist() == (marked[1:] > 0).tolist()
            assert np.flatnonzero(labels & BEGINS).tolist() == [0]
            assert np.flatnonzero(labels & PREFERRED).tolist() == ([0] if mark == LEARNT else [])
            learnt += int((marked == LEARNT).sum())
        assert document["bytes"] == len(pair.chosen[0].content.encode())
    assert summary[f"{split}_learnt_tokens"] == learnt


def test_pairs_of_sequences_in_any_order(made: tuple[Path, dict[str, Any]]) -> None:
    shard = TokenShard.open(made[0], "train")
    forward, backward = (pairs_in(shard, np.array(order), LENGTH) for order in ([0, 2], [2, 0]))
    places = [forward.row == 1, forward.row == 0]
    for field in ("chosen", "rejected", "end", "start"):
        values = getattr(forward, field)
        assert getattr(backward, field).tolist() == [*values[places[0]].tolist(), *values[places[1]].tolist()]


def test_a_pair_longer_than_a_sequence_is_set_aside(made: tuple[Path, dict[str, Any]]) -> None:
    folder, summary = made
    (aside,) = rows(folder / "set_aside.parquet")
    assert aside["reason"] == "longer than a sequence"
    assert summary["set_aside"] == {"longer than a sequence": 1}


def test_pairs_that_are_all_too_long_are_one_line(tmp_path: Path) -> None:
    records = [{"prompt": prose(s, 2), "chosen": "good", "rejected": "bad"} for s in range(22)]
    with pytest.raises(StageError, match=r"20 longer than a sequence.*raise train\.sequence_length"):
        to_tokens(tmp_path, lines(*records), sequence_length=8)
