from __future__ import annotations

import pytest
import yaml

from forge.spec.yaml_errors import yaml_problem


def _problem(text: str) -> tuple[int, str]:
    with pytest.raises(yaml.MarkedYAMLError) as raised:
        list(yaml.parse(text, Loader=yaml.SafeLoader))
    return yaml_problem(raised.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a:\n\tb: 1\n", 2, "is indented with a tab: use spaces"),
        ("a: 1\nb: 'x\nc: 1\n", 2, "a quote is opened here and not closed"),
        ("a: 1\nb: [x\nc: 1\n", 2, "what is opened here is not closed: a , or the ] is missing"),
        ("a: 1\nb\nc: 1\n", 2, "is no `key: value` line"),
        ("a: *\n", 1, "* and & have a meaning in YAML: put the value in quotes"),
    ],
)
def test_a_parser_s_words_become_a_user_s(text: str, line: int, message: str) -> None:
    assert _problem(text) == (line, message)


def test_what_is_not_foreseen_is_told_in_the_parser_s_words() -> None:
    assert _problem("%TAG ! x\n%TAG ! y\n---\na: 1\n") == (2, "is not YAML: duplicate tag handle '!'")


def test_an_error_without_a_place_is_on_the_first_line() -> None:
    assert yaml_problem(yaml.MarkedYAMLError()) == (1, "is not YAML: cannot be read")
