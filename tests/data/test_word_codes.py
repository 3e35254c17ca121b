import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data import word_codes as module
from forge.data.word_codes import word_codes
from forge.data.words import split_words

ODD = "aß Z9_-.\n\u0301\u0e01\u0e31日本\u3099กि\u093fक\U0001f600İ"
TEXTS = st.lists(st.one_of(st.text(), st.text(alphabet=ODD)), max_size=6)


@settings(deadline=None)  # the first call builds tables over all of Unicode
@given(texts=TEXTS)
def test_words_are_those_of_the_pattern(texts: list[str]) -> None:
    words = [split_words(text) for text in texts]
    found = list(word_codes(texts))
    assert [one.lengths.tolist() for one in found] == [[len(word) for word in one] for one in words]
    code_of: dict[str, int] = {}
    for one, codes in zip(words, found, strict=True):
        for word, code in zip(one, codes.codes.tolist(), strict=True):
            assert code_of.setdefault(word, code) == code
    assert len(set(code_of.values())) == len(code_of)


def test_the_codes_are_the_same_for_ever() -> None:
    # Written down from a first run: an index of near copies is kept from one run to the next.
    (found,) = word_codes(["ab Ünï"])
    assert found.codes.tolist() == CODES


CODES: list[int] = [11148347758237054783, 10129314924600811116]


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_the_size_of_blocks_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["one two", "", "three", "four five six", " "]
    whole = [one.codes for one in word_codes(texts)]
    monkeypatch.setattr(module, "BLOCK_CHARACTERS", block)
    for one, two in zip(word_codes(texts), whole, strict=True):
        assert np.array_equal(one.codes, two)
