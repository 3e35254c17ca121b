"""Tokens of texts that earlier tokens have: the same bytes, and only what is new is encoded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge.data.draft import text_digest
from forge.data.encoding import Encoder
from forge.data.known_tokens import Earlier, KnownTokens, earlier_tokens, tokenizer_hash
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.progress import SilentProgress
from tests.data.builders import make_corpus, prose_files, rows
from tests.factories import TOKENS, tokenizer_defaults


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two corpora, of which the second has five documents more and lacks three, and one tokenizer."""
    files = prose_files(range(40))
    for name, some in (("one", files), ("two", dict(list(files.items())[3:]) | prose_files(range(100, 105)))):
        (tmp_path / name).mkdir()
        make_corpus(some, tmp_path / name)
    (tmp_path / "tokenizer").mkdir()
    learnt = tokenizer_defaults() | {"vocab_size": 300}
    train_tokenizer(tmp_path / "one" / "corpus", learnt, tmp_path / "tokenizer", SilentProgress())
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were encoded."""
    texts: list[str] = []
    encode = Encoder.encode

    def noted(encoder: Encoder, some: Sequence[str]) -> Any:
        texts.extend(some)
        return encode(encoder, some)

    monkeypatch.setattr(Encoder, "encode", noted)
    return texts


def tokens(place: Path, corpus: str, name: str, earlier: Path | None, **parameters: Any) -> dict[str, bytes]:
    out = place / name
    out.mkdir()
    build_tokens(
        place / corpus / "corpus",
        place / "tokenizer",
        TOKENS | parameters,
        out,
        SilentProgress(),
        1,
        earlier=Earlier("so", earlier),
    )
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize(
    "parameters",
    [{}, {"packing": "best_fit", "sequence_length": 512}, {"packing": "best_fit", "sequence_length": 64}],
)
def test_only_new_texts_are_encoded_and_the_bytes_are_those_of_all(
    place: Path, encoded: list[str], parameters: dict[str, Any]
) -> None:
    tokens(place, "one", "first", None, **parameters)
    encoded.clear()
    again = tokens(place, "two", "again", place / "first", **parameters)
    cut = {row["document_id"] for row in rows(place / "first" / "documents.parquet") if row["offset"]}
    assert len(encoded) == 5 + len(cut - gone(place))
    encoded.clear()
    assert again == tokens(place, "two", "whole", None, **parameters)
    assert len(encoded) == 42


def gone(place: Path) -> set[str]:
    """Return the documents that the second corpus lacks."""
    one, two = (
        {row["document_id"] for row in rows(place / name / "corpus" / "corpus.parquet")}
        for name in ("one", "two")
    )
    assert len(one - two) == 3
    return one - two


def test_tokens_of_another_packing_help_as_well(place: Path, encoded: list[str]) -> None:
    tokens(place, "one", "first", None)
    encoded.clear()
    packed = {"packing": "best_fit", "sequence_length": 512}
    again = tokens(place, "one", "again", place / "first", **packed)
    assert encoded == []
    assert again == tokens(place, "one", "whole", None, **packed)


def test_what_is_remembered_is_found_by_text_alone(place: Path) -> None:
    tokens(place, "one", "first", None)
    known = KnownTokens(place / "first", np.dtype("<u2"))
    texts = [row["text"] for row in rows(place / "one" / "corpus" / "corpus.parquet")]
    wanted = b"".join(text_digest(text) for text in [*texts, "never seen"])
    found = known.find(np.frombuffer(wanted, np.uint64).reshape(-1, 2))
    assert found[-1] is None
    for text, ids in zip(texts, found, strict=False):
        assert ids is not None
        assert ids[1:-1].tolist() == Encoder(place / "tokenizer").encode([text])[0].tolist()


def test_the_newest_whole_tokens_of_the_same_tokenizer_are_taken(place: Path) -> None:
    for name in ("first", "second"):
        tokens(place, "one", name, None)
    folders = [place / "first", place / "second", place / "none"]
    assert earlier_tokens(folders, "so") == Earlier("so", place / "second")
    assert earlier_tokens(folders, "otherwise") == Earlier("otherwise", None)
    content = bytearray((place / "second" / "train.bin").read_bytes())
    content[7] ^= 1
    (place / "second" / "train.bin").write_bytes(content)
    assert earlier_tokens(folders, "so") == Earlier("so", place / "first")


def test_a_tokenizer_is_known_by_what_it_says_of_ids(place: Path) -> None:
    shutil.copytree(place / "tokenizer", place / "copy")
    assert tokenizer_hash(place / "copy") == tokenizer_hash(place / "tokenizer")
    text = (place / "copy" / "tokenizer.json").read_text()
    (place / "copy" / "tokenizer.json").write_text(text + "\n")
    assert tokenizer_hash(place / "copy") != tokenizer_hash(place / "tokenizer")
