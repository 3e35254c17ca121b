import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.draft import Draft
from forge.data.paragraphs import paragraph_hashes, remove, repeated


def cleaned(texts: list[str], least_words: int = 1, most: int = 1) -> list[str]:
    drafts = [Draft(str(number), "", "", "", "", text) for number, text in enumerate(texts)]
    for place, gone in repeated([paragraph_hashes(text, least_words) for text in texts], most).items():
        remove(drafts[place], gone.tolist())
    return [draft.text for draft in drafts]


def test_a_paragraph_stays_in_the_first_document_that_has_it() -> None:
    texts = [
        "one two\n\nshared words here",
        "Shared  words,\nhere\n\nthree four",
        "x y\n \nshared words here\n\nz",
    ]
    assert cleaned(texts) == ["one two\n\nshared words here", "three four", "x y\n \nz"]


def test_short_paragraphs_stay() -> None:
    assert cleaned(["a b\n\nc", "a b\n\nd"], least_words=3) == ["a b\n\nc", "a b\n\nd"]


def test_so_many_documents_keep_it() -> None:
    assert cleaned(["same\n\n1", "same\n\n2", "same\n\n3"], most=2) == ["same\n\n1", "same\n\n2", "3"]


def test_within_a_document_too() -> None:
    assert cleaned(["again\n\nb\n\nagain"]) == ["again\n\nb"]


@given(texts=st.lists(st.text(alphabet="ab \n"), max_size=5))
def test_what_stays_is_unlike_and_nothing_else_is_lost(texts: list[str]) -> None:
    kept = [hash_ for text in cleaned(texts) for hash_ in paragraph_hashes(text, 1).tolist() if hash_]
    before = {hash_ for text in texts for hash_ in paragraph_hashes(text, 1).tolist() if hash_}
    assert sorted(kept) == sorted(before)


def test_no_documents() -> None:
    assert repeated([], 1) == {}
    assert repeated([np.empty(0, np.uint64)], 1) == {}
