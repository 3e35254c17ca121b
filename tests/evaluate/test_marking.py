from __future__ import annotations

import pytest

from forge.evaluate.marking import first_sentence, mark, normalised
from tests.factories import evaluate_defaults

PHRASES = evaluate_defaults()["abstentions"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Iron-Works!", "iron works"),
        ("1,250", "1250"),
        ("1,250.00", "1250"),
        ("4.50 EUR", "4.5 eur"),
        ("twelve days", "12 days"),
        ("007", "7"),
        ("a café", "CAFÉ"),
        ("ﬁne", "fine"),
        ("It’s", "its"),
        ("a", "A."),
        ("0", "zero"),
    ],
)
def test_ways_to_write_one_thing_are_one(one: str, other: str) -> None:
    assert normalised(one) == normalised(other) != ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "15"),
        ("10", "100"),
        ("1,25", "125"),
        ("1.2.0", "1.2"),
        ("not 5", "5"),
        ("iron", "irons"),
        ("Vitamin A", "vitamin"),
        ("A", "B"),
    ],
)
def test_different_things_stay_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("reply", "answers", "expected"),
    [
        ("30 days", ["30 days"], "exact"),
        ("Thirty days.", ["30 days"], "exact"),
        ("a month", ["30 days", "one month", "month"], "exact"),
        ("It is 30 days.", ["30 days"], "exact"),
        ("It is 130 days.", ["30 days"], "wrong"),
        ("It is 30. Days pass.", ["30 days"], "wrong"),
        ("Some say more.\nIt is 30 days.", ["30 days"], "wrong"),
        ("", ["30 days"], "wrong"),
        ("", [], "wrong"),
        ("...", [], "wrong"),
        ("I don't know.", ["30 days"], "abstained"),
        ("I do not know, perhaps 30 days", ["30 days"], "abstained"),
        ("Sorry, I have NO INFORMATION on that", [], "abstained"),
        ("Unknown.", [], "abstained"),
        ("the unknown soldier", [], "wrong"),
        ("unknown", ["unknown"], "exact"),
        ("30 days", [], "wrong"),
    ],
)
def test_a_reply_has_one_mark(reply: str, answers: list[str], expected: str) -> None:
    assert mark(reply, answers, PHRASES) == expected


def test_naming_every_value_is_no_answer() -> None:
    others = ["red", "blue", "dark green"]
    assert mark("It is green.", ["green"], PHRASES, others) == "exact"
    assert mark("It is red, blue or green.", ["green"], PHRASES, others) == "wrong"
    assert mark("It is dark green.", ["green"], PHRASES, others) == "wrong"
    assert mark("It is dark green.", ["dark green"], PHRASES, ["green", "dark"]) == "exact"


def test_a_sentence_ends_at_its_stop_and_not_in_a_number() -> None:
    assert first_sentence("It costs 4.50 euros. More later.") == "It costs 4.50 euros."
    assert first_sentence(" one line\nanother") == "one line"
