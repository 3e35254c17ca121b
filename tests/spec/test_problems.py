from __future__ import annotations

import pytest

from forge.errors import SpecError
from forge.spec.problems import COMMAND_LINE, Problem, problem_at, raise_problems


def test_a_problem_is_one_line_with_its_place() -> None:
    assert (
        str(Problem("recipes/x.yaml", 14, "train.lr: no such key."))
        == "recipes/x.yaml:14: train.lr: no such key."
    )
    assert str(Problem(COMMAND_LINE, 0, "x: no")) == "command line: x: no"
    assert str(Problem("a\nb", 1, "c\x1bd")) == "a\\nb:1: c\\x1bd"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("recipes/x.yaml:14", Problem("recipes/x.yaml", 14, "m")),
        ("command line", Problem("command line", 0, "m")),
        ("C:/recipes/x.yaml", Problem("C:/recipes/x.yaml", 0, "m")),
        ("spec", Problem("spec", 0, "m")),
    ],
)
def test_a_place_is_taken_apart(where: str, expected: Problem) -> None:
    assert problem_at(where, "m") == expected


def test_all_problems_are_raised_once_each_and_sorted_by_place() -> None:
    problems = [Problem("b", 2, "x"), Problem("b", 10, "x"), Problem("a", 5, "z"), Problem("b", 2, "x")]
    with pytest.raises(SpecError) as raised:
        raise_problems(problems)
    assert raised.value.lines == ("a:5: z", "b:2: x", "b:10: x")
    assert raised.value.exit_code == 2


def test_no_problem_raises_nothing() -> None:
    raise_problems([])
