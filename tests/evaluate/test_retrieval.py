from __future__ import annotations

import pytest

from forge.evaluate.marking import mark
from forge.evaluate.questions import Question
from forge.evaluate.retrieval import (
    ABSTAINS,
    PASSAGE_WORDS,
    Retrieval,
    answer_in,
    names_in,
    passages_of,
)

TEXTS = [
    "Products of the firm.\n\nThe Orion 40 costs 1,250 euros and weighs 4.5 kg. It is painted red.",
    "The Vega 12 costs 980 euros and weighs 3 kg.\n\nThe Lyra 7 is sold out.",
    "Invoices are signed by Mara Lind, who works in Uppsala.",
    "Lunch is at noon in the canteen.",
]
INDEX = Retrieval(TEXTS)
PRICES = ("300 euros", "45 euros", "9,999 euros")


@pytest.mark.parametrize(
    ("text", "answer", "others"),
    [
        ("What does the Orion 40 cost?", "1,250 euros", PRICES),
        ("What does the Vega 12 cost?", "980 euros", PRICES),
        ("What is the weight of Vega 12?", "3 kg", ("7 kg", "8 kg")),
        ("Who signs the invoices?", "Mara Lind", ()),
        ("Where does Mara Lind work?", "Uppsala", ()),
        ("When is lunch?", "noon", ()),
    ],
)
def test_what_is_written_is_found_and_read(text: str, answer: str, others: tuple[str, ...]) -> None:
    found = INDEX.look_up(Question(text, (answer,), "document", "t", others))
    assert mark(found.reply, [answer], [ABSTAINS], others) == "exact", found
    assert any(answer in passage for passage in found.passages[:1])


@pytest.mark.parametrize(
    "text",
    [
        "What does the Orion 12 cost?",  # both words are known, together they are not
        "What does the Nemo 3 cost?",
        "Who is Mara Lund?",
        "zzz?",
    ],
)
def test_what_is_not_written_is_admitted(text: str) -> None:
    assert INDEX.look_up(Question(text, (), "unknown_near", "t", PRICES)).reply == ABSTAINS


def test_where_the_text_asks_the_question_the_line_after_it_answers() -> None:
    pairs = "Q: What does the Orion 40 cost?\nA: 1,250 euros\n\nQ: Who made the Orion 40?\nA: Mara Lind"
    index = Retrieval([pairs, "Who sells the Orion 40? Ada Berg sells the Orion 40."])
    for text, answer in (
        ("What does the Orion 40 cost?", "1,250 euros"),
        ("Who made the Orion 40?", "Mara Lind"),
        ("Who sells the Orion 40, please?", "Ada Berg"),  # another question is no answer
    ):
        assert index.look_up(Question(text, (answer,), "seen", "t")).reply == answer


def test_values_are_not_looked_for_only_their_form() -> None:
    question = Question("What does the Orion 40 cost?", ("1,250 euros",), "document", "t", ("4.5 kg", "9 kg"))
    assert answer_in("The Orion 40 costs 1,250 euros and weighs 4.5 kg.", question) == "4.5 kg"
    one = Question("What does it cost?", ("x",), "document", "t", ("red", "blue"))
    assert answer_in("It is red and costs twelve coins.", one) == "red and costs twelve coins"


def test_names_are_runs_with_capitals_or_digits() -> None:
    assert names_in("What does the Orion 40 cost in Berlin?") == [("orion", "40"), ("berlin",)]
    assert names_in("Who signs, Mara Lind or Ada?") == [("mara", "lind"), ("ada",)]
    assert names_in("what is it?") == []


def test_passages_keep_every_sentence_and_are_short() -> None:
    sentences = [f"This is sentence number {place} of a long paragraph." for place in range(60)]
    passages = list(passages_of(" ".join(sentences) + "\n\nAnother paragraph."))
    assert "\n".join(passages).split("\n") == [*sentences, "Another paragraph."]
    assert all(len(passage.split()) <= PASSAGE_WORDS for passage in passages)
    assert list(passages_of("\x1euser\nWho?\x1eassistant\nMara.")) == ["user\nWho?", "assistant\nMara."]


def test_a_training_text_without_words_has_nothing_to_say() -> None:
    index = Retrieval(["", "!!!"])
    assert len(index) == 0
    assert index.look_up(Question("Who?", ("x",), "other", "t")).reply == ABSTAINS
