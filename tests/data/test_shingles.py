import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.shingles import Shingler

WORDS = st.lists(st.sampled_from("abcdef"), max_size=30)


@given(texts=st.lists(WORDS, max_size=6), width=st.integers(1, 6))
def test_shingles_are_the_distinct_runs_of_words(texts: list[list[str]], width: int) -> None:
    shingler = Shingler(width)
    meaning: dict[tuple[str, ...], int] = {}
    for words in texts:
        runs = (
            {tuple(words[at : at + width]) for at in range(max(1, len(words) - width + 1))}
            if words
            else set()
        )
        found = shingler.shingles(words)
        assert found.dtype == np.uint64
        assert (np.diff(found) > 0).all()
        assert len(found) == len(runs)
        for run in runs:
            (number,) = shingler.shingles(list(run)).tolist()
            assert number in found
            assert meaning.setdefault(run, number) == number
    assert len(set(meaning.values())) == len(meaning)


def test_the_order_of_words_counts() -> None:
    shingler = Shingler(2)
    assert shingler.shingles(["a", "b"]).tolist() != shingler.shingles(["b", "a"]).tolist()


def test_a_short_text_is_one_shingle_that_no_longer_text_has() -> None:
    shingler = Shingler(5)
    (short,) = shingler.shingles(["a", "b"]).tolist()
    assert short not in shingler.shingles(["a", "b", "a", "b", "a", "b"])
    assert short == shingler.shingles(["a", "b"])[0]
