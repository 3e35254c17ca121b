from __future__ import annotations

from pathlib import Path

import pytest

from forge.data.corpus_rows import corpus_rows
from forge.evaluate.near_copies import near_copies
from forge.progress import SilentProgress
from tests.data.builders import prose
from tests.evaluate.taught import write_corpus

WORDS = 3


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.lower().replace(".", " ").replace(",", " ").split()
    return {tuple(words[place : place + WORDS]) for place in range(len(words) - WORDS + 1)}


def test_near_copies_are_counted_as_jaccard_says(tmp_path: Path) -> None:
    held_out = [prose(seed, 60) for seed in range(6)]
    copies = [held_out[0], held_out[1] + " and four more words", "x " + held_out[2][: len(held_out[2]) // 2]]
    train = [prose(seed, 60) for seed in range(100, 400)] + copies
    write_corpus(tmp_path / "corpus", train, held_out)
    ids = [row.document_id for row in corpus_rows(tmp_path / "corpus", "held_out")]
    found = near_copies(tmp_path / "corpus", ids, WORDS, 0.8, SilentProgress())
    assert (found["documents"], found["documents_with_near_copy"]) == (6, 2)
    assert found["highest_jaccard"] == 1.0
    one, two = shingles(held_out[1]), shingles(copies[1])
    assert found["closest"][1]["jaccard"] == pytest.approx(len(one & two) / len(one | two))
    assert found["closest"][0]["document_id"] == ids[0]

    few = near_copies(tmp_path / "corpus", ids[3:], WORDS, 0.8, SilentProgress())
    assert (few["documents"], few["documents_with_near_copy"]) == (3, 0)
    assert few["highest_jaccard"] < 0.2


def test_texts_without_words_are_near_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", ["!!!", "some words are here"], ["???"])
    ids = [row.document_id for row in corpus_rows(tmp_path / "corpus", "held_out")]
    found = near_copies(tmp_path / "corpus", ids, WORDS, 0.8, SilentProgress())
    assert (found["documents_with_near_copy"], found["highest_jaccard"], found["closest"]) == (0, 0.0, [])
