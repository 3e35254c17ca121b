import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.shingles import shingles
from forge.data.word_codes import Uint64, word_codes

WORDS = st.lists(st.sampled_from("abcdef"), max_size=30)


def of(words: list[str], width: int) -> Uint64:
    (found,) = word_codes([" ".join(words)])
    return shingles(found.codes, width)


@given(texts=st.lists(WORDS, max_size=6), width=st.integers(1, 6))
def test_shingles_are_the_distinct_runs_of_words(texts: list[list[str]], width: int) -> None:
    meaning: dict[tuple[str, ...], int] = {}
    for words in texts:
        runs = (
            {tuple(words[at : at + width]) for at in range(max(1, len(words) - width + 1))}
            if words
            else set()
        )
        found = of(words, width)
        assert found.dtype == np.uint64
        assert (found[1:] > found[:-1]).all()
        assert len(found) == len(runs)
        for run in runs:
            (number,) = of(list(run), width).tolist()
            assert number in found
            assert meaning.setdefault(run, number) == number
    assert len(set(meaning.values())) == len(meaning)


def test_the_order_of_words_counts() -> None:
    assert of(["a", "b"], 2).tolist() != of(["b", "a"], 2).tolist()


def test_a_short_text_is_one_shingle_that_no_longer_text_has() -> None:
    (short,) = of(["a", "b"], 5).tolist()
    assert short not in of(["a", "b", "a", "b", "a", "b"], 5)
