from __future__ import annotations

from pathlib import Path

import pytest

from forge.errors import StageError
from forge.evaluate.facts import Fact, fact_questions, read_facts, unknown_questions
from forge.evaluate.marking import normalised
from forge.evaluate.names import far_names, near_names

CSV = (
    "subject,attribute,value,aliases\n"
    'Orion 40,price,"1,250 EUR",1250 euros|€1250\n'
    "Vega 12,price,980 EUR,\n"
    "Orion 40,colour,red,\n"
    "Orion 40,colour,dark red,\n"
)
JSONL = (
    '{"subject": "Orion 40", "attribute": "price", "value": "1,250 EUR", "aliases": ["1250 euros", "€1250"]}\n'
    '{"subject": "Vega 12", "attribute": "price", "value": "980 EUR"}\n'
    '{"subject": "Orion 40", "attribute": "colour", "value": ["red", "dark red"]}\n'
)


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "a.jsonl").write_text(JSONL)
    facts = read_facts(tmp_path / "a.csv", "x")
    assert facts == [
        Fact("Orion 40", "price", ("1,250 EUR", "1250 euros", "€1250"), "a.csv:2"),
        Fact("Vega 12", "price", ("980 EUR",), "a.csv:3"),
        Fact("Orion 40", "colour", ("red", "dark red"), "a.csv:4"),
    ]
    assert [(one.subject, one.values) for one in read_facts(tmp_path / "a.jsonl", "x")] == [
        (one.subject, one.values) for one in facts
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", r"a\.csv:1: has no column subject"),
        ("a.csv", "subject,value\na,b\n", r"a\.csv:1: has no column attribute"),
        ("a.csv", "subject,attribute,value\n", "has no fact"),
        ("a.csv", "subject,attribute,value\na,b,\n", r"a\.csv:2: value: is empty"),
        ("a.csv", "subject,attribute,value\na,b,c,d\n", r"a\.csv:2: has not as many cells"),
        ("a.csv", "subject,attribute,value\na,b\n", r"a\.csv:2: has not as many cells"),
        ("a.csv", 'subject,attribute,value\na,b,"c\n', "is not CSV"),
        ("a.jsonl", '{"subject": "a", "value": "b"}\n', r"a\.jsonl:1: has no attribute"),
        ("a.jsonl", '{"subject": "a", "attribute": "x", "value": "?"}\n', r"a\.jsonl:1: has no value"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(StageError, match=message) as caught:
        read_facts(tmp_path / name, "evaluate.facts")
    assert len(caught.value.lines) == 1
    assert "\n" not in caught.value.lines[0]


FACTS = [
    Fact(f"{stem} {number}", attribute, (f"{number}0 {attribute}s",), "f")
    for stem, number in (("Orion", 40), ("Vega", 12), ("Lyra", 7), ("Draco", 95))
    for attribute in ("coin", "gram")
]


def test_templates_make_questions_with_the_other_values_beside_them() -> None:
    questions = fact_questions(FACTS, {"coin": "What does {subject} cost?"})
    assert questions[0].text == "What does Orion 40 cost?"
    assert questions[1].text == "What is the gram of Orion 40?"
    assert questions[0].answers == ("400 coins",)
    assert questions[0].others == ("120 coins", "70 coins", "950 coins")


def test_unknown_names_are_no_known_ones_and_always_the_same() -> None:
    near, far = unknown_questions(FACTS, {}, 6, seed=3)
    assert (near, far) == unknown_questions(FACTS, {}, 6, seed=3)
    assert near != unknown_questions(FACTS, {}, 6, seed=4)[0]
    known = {fact.subject for fact in FACTS}
    words = {word for name in known for word in name.split()}
    for question in near:
        assert question.subject not in known
        assert set((question.subject or "").split()) <= words
    for question in far:
        assert not set(normalised(question.subject or "")) & {word.lower() for word in words}
    assert all(question.is_unknown and question.others for question in near + far)
    assert len({question.text for question in near + far}) == 12
    assert {question.kind for question in near} == {"unknown_near"}


def test_names_of_one_word_are_cut_in_the_middle_and_there_may_be_too_few() -> None:
    assert set(near_names(["Berlin", "London"], 50, seed=1)) == {"Berdon", "Lonlin"}
    assert near_names(["Berlin"], 5, seed=1) == []
    (far,) = far_names(["Berlin"], 1, seed=1)
    assert far.isalpha()
    assert far[0].isupper()
    assert far_names([], 0, seed=1) == []
    numbers = far_names(["7", "8"], 200, seed=1)
    assert len(numbers) == len(set(numbers)) <= 90  # numbers of two digits, and then there are no more
