from typing import Any

import pytest

from forge.data.draft import Finding
from forge.data.quality import findings
from forge.data.word_codes import word_codes
from tests.data.builders import CORPUS

LIMITS = CORPUS | {"min_words": 3}


def judge(text: str, **limits: Any) -> Finding | None:
    (found,) = findings([text], list(word_codes([text])), LIMITS | limits)
    return found


@pytest.mark.parametrize("text", ["three words here", "契約書", "a b c\na b c", "1 2 three seven eight nine"])
def test_good_text_passes(text: str) -> None:
    assert judge(text) is None


@pytest.mark.parametrize(
    ("text", "reason", "score", "detail"),
    [
        (" \n", "empty", 0.0, "the steps before left nothing but white space"),
        ("two words", "too few words", 2.0, "2 words, min_words is 3"),
        (
            "1 2 3 45678 abc",
            "too few letters",
            3 / 11,
            "0.273 of it is letters, min_alphabetic_fraction is 0.5",
        ),
        (
            "one two three\n\nsame\nsame\n same\nsame\n",
            "repeated lines",
            pytest.approx(0.6),
            "0.600 of 5 lines repeat an earlier one, max_repeated_line_fraction is 0.5",
        ),
    ],
)
def test_bad_text_says_why_with_numbers(text: str, reason: str, score: float, detail: str) -> None:
    assert judge(text) == Finding(reason, detail, score)


def test_a_limit_itself_is_allowed() -> None:
    assert judge("a b 1 2", min_alphabetic_fraction=0.5) is None
    assert judge("x y z\nx y z", max_repeated_line_fraction=0.5) is None
    assert judge("x y z\nx y z", max_repeated_line_fraction=0.49) is not None


def test_limits_of_zero_let_all_but_nothing_pass() -> None:
    loose = {"min_words": 0, "min_alphabetic_fraction": 0.0, "max_repeated_line_fraction": 1.0}
    assert judge("!", **loose) is None
    assert judge("", **loose) is not None
